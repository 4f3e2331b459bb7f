"""Kind "placed": images that a person puts into `folder` under ``data/``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.catalogues.sources import Source
from sharegpt4v.errors import UserError
from sharegpt4v.images.folder import is_placed, link_folder
from sharegpt4v.images.kind import Fetching, Kind, Need
from sharegpt4v.images.listing import Listing

if TYPE_CHECKING:
    from sharegpt4v.config import Config


class Placed(Kind):
    """Images that lie in their folder already."""

    def fetch(self, source: Source, to: Fetching) -> Listing:
        """List the images; a `UserError` says where they are to be had when there are none."""
        if not is_placed(to.folder):
            raise UserError(f"{source.name}: no images in {to.folder}; {_how_to_place(source)}")
        return link_folder(to.folder, to.folder)

    def needs(self, source: Source, config: Config) -> Iterator[Need]:
        """The images have to be there."""
        folder = layout.DATA / source.folder
        if not is_placed(folder):
            yield Need("images in", str(folder), _how_to_place(source))


def _how_to_place(source: Source) -> str:
    first, address = f"{source.login}, " if source.login else "", source.downloads[0].address
    return f"{first}get them{f' from {address}' if '://' in address else ''} and put them there"


KIND = Placed()
