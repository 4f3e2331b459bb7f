"""One file of a source on this machine, wherever it comes from: a disk, a person, a server, a personal link, Drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sharegpt4v.catalogues.sources import MINI, Download, Source, resolve
from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.images.drive import DriveFile, fetch_from_drive, files_on_drive, is_on_drive
from sharegpt4v.images.fetch import Retries, complaint_about, fetch, metadata_path
from sharegpt4v.images.links import read_links
from sharegpt4v.images.transfer import Refused


class File(NamedTuple):
    """A file of a source: its name, and what brings it here and returns its path."""

    name: str
    obtain: Callable[[], Path]


def files_of(
    source: Source, work: Path, settings: Sources, retries: Retries, mini_base_url: str | None
) -> Iterator[File]:
    """Yield the files of a source in the order of its addresses; `work` is the source's own folder for work."""
    downloads = work / "downloads"
    for download in source.downloads:
        if source.kind == "links":
            yield _by_link(source, download, downloads, settings, retries)
        elif is_on_drive(download.address):
            yield from _on_drive(download, downloads, settings, retries)
        elif is_local(download) or source.login:
            yield _by_hand(source, download, downloads)
        else:
            address = resolve(download.address, mini_base_url)
            yield _by_http(replace(download, address=address), downloads, settings, retries)


def is_local(download: Download) -> bool:
    """Tell an address that is a path on this machine."""
    return not download.address.startswith(MINI) and "://" not in download.address


def _by_http(download: Download, downloads: Path, settings: Sources, retries: Retries) -> File:
    def obtain() -> Path:
        return fetch(download, downloads, retries=retries, keep_free_bytes=settings.keep_free_bytes)

    return File(download.file_name, obtain)


def _by_hand(source: Source, download: Download, downloads: Path) -> File:
    """A file that is here already, or that a person has to put among the downloads."""
    file = Path(download.address).expanduser() if is_local(download) else downloads / download.file_name

    def obtain() -> Path:
        if not file.exists():
            todo = f"{source.login}; put the file there" if source.login else "correct the catalogue"
            raise UserError(f"{source.name}: {file} is not there; {todo} and run the same command again")
        return _checked(file, download)

    return File(download.file_name, obtain)


def _by_link(source: Source, download: Download, downloads: Path, settings: Sources, retries: Retries) -> File:
    """A file that the user's personal link leads to. Once it is here, no link is asked for it again.

    A file of new links continues what an old one began: the server's mark of the version decides, not the address.
    """
    name = download.file_name
    key = f"sources.link_files.{source.name}"

    def obtain() -> Path:
        target = downloads / name
        if target.exists():
            return target if metadata_path(target).exists() else _checked(target, download)
        path = settings.link_files.get(source.name)
        if path is None:
            raise UserError(f"{source.name}: no links to its archives; {source.login}, and name that file in {key}")
        links = read_links(path)
        if name not in links:
            raise UserError(f"{path}: no link to {name}; expected one, so get the file of links again")
        linked = replace(download, address=links[name], name=name)
        try:
            return _by_http(linked, downloads, settings, retries).obtain()
        except Refused:
            raise UserError(
                f"{path}: the link to {name} has expired; get a new file of links, put it there and run the same "
                "command again, which goes on from what is here"
            ) from None

    return File(name, obtain)


def _on_drive(download: Download, downloads: Path, settings: Sources, retries: Retries) -> Iterator[File]:
    for file in files_on_drive(download.address, downloads / f"{download.file_name}.list.json", retries.timeout_s):

        def obtain(file: DriveFile = file) -> Path:
            fetched = fetch_from_drive(file, downloads, retries.tries, retries.timeout_s, settings.keep_free_bytes)
            return _checked(fetched, download)

        yield File(file.path, obtain)


def _checked(file: Path, download: Download) -> Path:
    if complaint := complaint_about(file, download):
        raise UserError(f"{file}: {complaint}; get the file again, or correct the catalogue")
    return file
