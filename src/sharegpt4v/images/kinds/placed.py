"""Kind "placed": images, or a benchmark's official files, that a person puts into `folder` under ``data/``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.catalogues.sources import Source
from sharegpt4v.errors import UserError
from sharegpt4v.images.folder import is_placed, link_folder
from sharegpt4v.images.kind import Fetching, Kind, Need
from sharegpt4v.images.listing import Listing, has_image_suffix, is_litter
from sharegpt4v.ledger import key_of_files
from sharegpt4v.official_files import lacking

if TYPE_CHECKING:
    from sharegpt4v.config import Config


class Placed(Kind):
    """Files that lie in their folder already."""

    def fetch(self, source: Source, to: Fetching) -> Listing:
        """List the files; a `UserError` says where they are to be had when there are none."""
        if source.gives:
            files = list(_official_files(source, to.folder))
            if not files or lacking(source, to.folder):
                raise UserError(f"{source.name}: {_lacking(source, to.folder)}; {_how_to_place(source)}")
            return Listing(sorted({file.relative_to(to.folder).as_posix() for file in files}))
        if not is_placed(to.folder):
            raise UserError(f"{source.name}: no images in {to.folder}; {_how_to_place(source)}")
        return link_folder(to.folder, to.folder)

    def needs(self, source: Source, config: Config) -> Iterator[Need]:
        """The files have to be there."""
        folder = layout.DATA / source.folder
        if source.gives:
            if lacking(source, folder):
                what = f"{_lacking(source, folder)}; {_how_to_place(source)}"
                yield Need("files of", ", ".join(source.benchmarks), what)
        elif not is_placed(folder):
            yield Need("images in", str(folder), _how_to_place(source))

    def state(self, source: Source) -> str:
        """Of official files, the names, sizes and dates, images aside; those change when a person changes a file."""
        if not source.gives or source.images != 0:
            return ""
        files = set(_official_files(source, layout.DATA / source.folder))
        return key_of_files(file for file in files if not has_image_suffix(file.name))


def _official_files(source: Source, folder: Path) -> Iterator[Path]:
    """The files that the patterns of a source name, and those in the folders that they name."""
    for found in (path for pattern in source.gives for path in folder.glob(pattern)):
        for file in [found] if found.is_file() else found.rglob("*"):
            if file.is_file() and not is_litter(file.name) and (source.images == 0 or has_image_suffix(file.name)):
                yield file


def _lacking(source: Source, folder: Path) -> str:
    return f"{folder} has no {' and no '.join(lacking(source, folder) or source.gives)}"


def _how_to_place(source: Source) -> str:
    first, address = f"{source.login}, " if source.login else "", source.downloads[0].address
    return f"{first}get them{f' from {address}' if '://' in address else ''} and put them there"


KIND = Placed()
