"""The protocol of a kind of source, and the registry of kinds: the files of the folder `images/kinds`.

A row of the catalogue names its kind, and the module of that name in `images/kinds` holds a `KIND`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from sharegpt4v.catalogues.sources import Source
from sharegpt4v.config.sources import Sources
from sharegpt4v.images.fetch import RETRIES, Retries
from sharegpt4v.images.listing import Listing

if TYPE_CHECKING:
    from sharegpt4v.config import Config

PACKAGE = "sharegpt4v.images.kinds"


@dataclass(frozen=True)
class Fetching:
    """Where and how a source is fetched: its files go to `folder`; `work` is for downloads and what lets it resume.

    `mini_base_url` is where the synthetic world is served, if it is. `retries` says when a download is given up.
    """

    folder: Path
    work: Path
    settings: Sources
    mini_base_url: str | None = None
    retries: Retries = RETRIES


class Need(NamedTuple):
    """What a person must do before a source can be fetched: `what` is missing of `whom`, and the remedy.

    With `stops` the source cannot be fetched without it.
    """

    what: str
    whom: str
    remedy: str
    stops: bool = True


class Kind(ABC):
    """How the sources of one kind are fetched, and what is known of them beforehand. Only `fetch` has to be written."""

    needs_img2dataset = False

    @abstractmethod
    def fetch(self, source: Source, to: Fetching) -> Listing:
        """Bring the files of a source into ``to.folder`` and list them.

        What cannot be had is a failure in the listing; what stops the source is a `UserError`. What is done already is
        skipped, so that a killed run can resume.
        """

    def needs(self, source: Source, config: Config) -> Iterator[Need]:
        """Yield what a person must do before `fetch`, as far as it is not done."""
        if source.login:
            yield Need("login for", source.name, source.login, stops=False)

    def archives(self, source: Source) -> list[str]:
        """Return the archives that are known by name before anything is fetched; `s4v verify` counts by them."""
        return []

    def bytes_on_disk(self, source: Source, unpacked_factor: float) -> float:
        """Return how many bytes the source takes on the disk, as far as the catalogue knows.

        An archive that stays beside what is unpacked of it takes `unpacked_factor` times its own size.
        """
        return sum(download.bytes or download.about_bytes or 0 for download in source.downloads)

    def expected_images(self, source: Source) -> int | None:
        """Return how many images the source should hold; None when that is not known."""
        return source.images

    def state(self, source: Source) -> str:
        """Return a key of what the source holds now, beside its row; the source is fetched again when it changes."""
        return ""

    def allowed_failures(self, source: Source, listing: Listing, settings: Sources) -> int:
        """Return how many failures of a `listing` do not count as missing images.

        A `UserError` when there are more than the kind allows.
        """
        return 0


def kind_of_source(source: Source) -> Kind:
    """Return the kind of a source; the catalogue's reader checks that there is one."""
    return cast(Kind, importlib.import_module(f"{PACKAGE}.{source.kind.replace('-', '_')}").KIND)
