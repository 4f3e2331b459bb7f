"""Kind "links": archives with personal links, as SA-1B's, which have no address that everybody may use.

The addresses of the catalogue are the archives' names. Whoever accepts Meta's terms gets a tab-separated text,
``file_name<TAB>cdn_link``, whose links expire; ``sources.link_files`` names it. Nothing of a link is ever printed or
kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.catalogues.sources import Download, Source
from sharegpt4v.errors import UserError
from sharegpt4v.images.fetch import metadata_path
from sharegpt4v.images.kind import Fetching, Need
from sharegpt4v.images.obtain import File, by_http, checked
from sharegpt4v.images.transfer import Refused
from sharegpt4v.images.unpacking import Archives

if TYPE_CHECKING:
    from sharegpt4v.config import Config

HEADER = ["file_name", "cdn_link"]


def read_links(path: Path) -> dict[str, str]:
    """Read a file of links into link by file name; a missing file, or a line of another form, is a `UserError`."""
    try:
        lines = path.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}); expected the file of links, "
            f"{' and '.join(HEADER)} separated by a tab"
        ) from None
    links: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        if not cells or cells == HEADER:
            continue
        if len(cells) != 2 or not cells[1].startswith(("http://", "https://")):
            raise UserError(f"{path}, line {number}: expected a file name, a tab and a link; get that file again")
        links[cells[0]] = cells[1]
    return links


class Links(Archives):
    """Archives that the user's personal links lead to."""

    def files(self, source: Source, to: Fetching) -> Iterator[File]:
        """Yield the archives, each by its link."""
        return (_by_link(source, download, to) for download in source.downloads)

    def needs(self, source: Source, config: Config) -> Iterator[Need]:
        """The file of links has to be there, unless all that they lead to is here."""
        file = config.sources.link_files.get(source.name)
        downloads = layout.WORK / "sources" / source.name / "downloads"
        here = all((downloads / download.file_name).exists() for download in source.downloads)
        if not here and not (file and file.expanduser().is_file()):
            remedy = f"{source.login}, and name that file in sources.link_files.{source.name}"
            yield Need("links of", source.name, remedy)


def _by_link(source: Source, download: Download, to: Fetching) -> File:
    """A file that the user's personal link leads to. Once it is here, no link is asked for it again.

    A file of new links continues what an old one began: the server's mark of the version decides, not the address.
    """
    name = download.file_name
    key = f"sources.link_files.{source.name}"

    def obtain() -> Path:
        target = to.work / "downloads" / name
        if target.exists():
            return target if metadata_path(target).exists() else checked(target, download)
        path = to.settings.link_files.get(source.name)
        if path is None:
            raise UserError(f"{source.name}: no links to its archives; {source.login}, and name that file in {key}")
        links = read_links(path)
        if name not in links:
            raise UserError(f"{path}: no link to {name}; expected one, so get the file of links again")
        linked = replace(download, address=links[name], name=name)
        try:
            return by_http(linked, to).obtain()
        except Refused:
            raise UserError(
                f"{path}: the link to {name} has expired; get a new file of links, put it there and run the same "
                "command again, which resumes from what is here"
            ) from None

    return File(name, obtain)


KIND = Links()
