"""Kind "folder": the user's own images, linked under ``data/`` with their relative names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v.catalogues.sources import Source
from sharegpt4v.errors import UserError
from sharegpt4v.images.folder import link_folder
from sharegpt4v.images.kind import Fetching, Kind, Need
from sharegpt4v.images.listing import Listing
from sharegpt4v.ledger import key_of_files

if TYPE_CHECKING:
    from sharegpt4v.config import Config


class Folder(Kind):
    """Images that are on this machine already."""

    def fetch(self, source: Source, to: Fetching) -> Listing:
        """Link the images."""
        return link_folder(_folder(source), to.folder)

    def needs(self, source: Source, config: Config) -> Iterator[Need]:
        """The folder has to be there."""
        if not _folder(source).is_dir():
            yield Need("folder of", source.name, f"correct sources.folder_sources.{source.name}")

    def bytes_on_disk(self, source: Source, unpacked_factor: float) -> float:
        """Links take nothing."""
        return 0

    def expected_images(self, source: Source) -> int:
        """As many as there are files now."""
        return sum(1 for _ in _files(source))

    def state(self, source: Source) -> str:
        """The names, sizes and dates of the files: those change when the images do."""
        return key_of_files(_files(source))


def _folder(source: Source) -> Path:
    if len(source.downloads) != 1:
        raise UserError(f"{source.name}: expected one folder; name one with blanks by sources.folder_sources")
    return Path(source.downloads[0].address).expanduser()


def _files(source: Source) -> Iterator[Path]:
    return (path for path in _folder(source).rglob("*") if path.is_file())


KIND = Folder()
