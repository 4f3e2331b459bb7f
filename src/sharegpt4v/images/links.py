"""A user's file of personal links: SA-1B's archives have no address that everybody may use.

Whoever accepts Meta's terms gets a tab-separated text, ``file_name<TAB>cdn_link``, whose links expire. Nothing of a
link is ever printed or kept.
"""

from __future__ import annotations

from pathlib import Path

from sharegpt4v.errors import UserError

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
