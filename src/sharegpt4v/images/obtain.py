"""One file of a source on this machine, wherever it comes from: a disk, a person, a server, Drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sharegpt4v.catalogues.sources import MINI, Download, Source, resolve
from sharegpt4v.errors import UserError
from sharegpt4v.images.drive import DriveFile, fetch_from_drive, files_on_drive, is_on_drive
from sharegpt4v.images.fetch import complaint_about, fetch
from sharegpt4v.images.kind import Fetching


class File(NamedTuple):
    """A file of a source: its name, and what brings it here and returns its path."""

    name: str
    obtain: Callable[[], Path]


def files_of(source: Source, to: Fetching) -> Iterator[File]:
    """Yield the files of a source in the order of its addresses."""
    for download in source.downloads:
        if is_on_drive(download.address):
            yield from _on_drive(download, to)
        elif is_local(download) or source.login:
            yield _by_hand(source, download, to)
        else:
            yield by_http(replace(download, address=resolve(download.address, to.mini_base_url)), to)


def only_file(source: Source, to: Fetching) -> File:
    """Return the file of a source whose kind takes one address."""
    if len(source.downloads) != 1:
        raise UserError(
            f"{source.name}: kind {source.kind} takes one address, not {len(source.downloads)}; make a source of each"
        )
    return next(files_of(source, to))


def is_local(download: Download) -> bool:
    """Tell an address that is a path on this machine."""
    return not download.address.startswith(MINI) and "://" not in download.address


def by_http(download: Download, to: Fetching) -> File:
    """Return a file that a server gives."""

    def obtain() -> Path:
        return fetch(download, to.work / "downloads", retries=to.retries, keep_free_bytes=to.settings.keep_free_bytes)

    return File(download.file_name, obtain)


def checked(file: Path, download: Download) -> Path:
    """Return `file`; a `UserError` when it is not as the catalogue says."""
    if complaint := complaint_about(file, download):
        raise UserError(f"{file}: {complaint}; get the file again, or correct the catalogue")
    return file


def _by_hand(source: Source, download: Download, to: Fetching) -> File:
    """A file that is here already, or that a person has to put among the downloads."""
    local = is_local(download)
    file = Path(download.address).expanduser() if local else to.work / "downloads" / download.file_name

    def obtain() -> Path:
        if not file.exists():
            todo = f"{source.login}; put the file there" if source.login else "correct the catalogue"
            raise UserError(f"{source.name}: {file} is not there; {todo} and run the same command again")
        return checked(file, download)

    return File(download.file_name, obtain)


def _on_drive(download: Download, to: Fetching) -> Iterator[File]:
    downloads = to.work / "downloads"
    for file in files_on_drive(download.address, downloads / f"{download.file_name}.list.json", to.retries.timeout_s):

        def obtain(file: DriveFile = file) -> Path:
            return checked(fetch_from_drive(file, downloads, to.retries, to.settings.keep_free_bytes), download)

        yield File(file.path, obtain)
