"""Kind "files": a few single files or images, each placed in `folder` under its own name."""

from __future__ import annotations

from sharegpt4v.catalogues.sources import Source
from sharegpt4v.images.kind import Fetching, Kind
from sharegpt4v.images.listing import Listing, link_or_copy
from sharegpt4v.images.obtain import files_of


class Files(Kind):
    """Files that are used as they come."""

    def fetch(self, source: Source, to: Fetching) -> Listing:
        """Put each file in its place."""
        listing = Listing()
        for file in files_of(source, to):
            link_or_copy(file.obtain(), to.folder / file.name)
            listing.found.append(file.name)
        return listing


KIND = Files()
