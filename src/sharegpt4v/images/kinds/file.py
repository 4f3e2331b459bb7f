"""Kind "file": a single annotation file, placed as `folder` under ``data/``."""

from __future__ import annotations

from sharegpt4v.catalogues.sources import Source
from sharegpt4v.errors import UserError
from sharegpt4v.images.kind import Fetching, Kind
from sharegpt4v.images.listing import Listing, link_or_copy
from sharegpt4v.images.obtain import only_file


class File(Kind):
    """One file that is no image."""

    def fetch(self, source: Source, to: Fetching) -> Listing:
        """Put the file in its place."""
        if source.images != 0:
            raise UserError(f"{source.name}: a source of kind file holds no images; write 0 as their number")
        link_or_copy(only_file(source, to).obtain(), to.folder)
        return Listing([""])


KIND = File()
