"""A page for a person to look over captions: the image, what the quality gate says, the text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from sharegpt4v.files import open_atomically
from sharegpt4v.pages import Markup, escaped, first_line, page_head, table_row

STYLE = (
    "body{font:15px sans-serif;margin:2em} tr{vertical-align:top} td,th{padding:.5em 1em .5em 0;text-align:left}"
    "td{max-width:48em} img{max-width:336px;max-height:336px}"
)


def write_page(
    path: Path,
    title: str,
    heads: Sequence[str],
    rows: Iterable[tuple[Path | None, str, Sequence[str]]],
    counts: Mapping[str, Mapping[str, int]],
    notice: str = "",
) -> None:
    """Write the page, as a stream: a notice, `counts` (source → verdict → number), the rows under their `heads`.

    A row is the file of an image, None where there is none, its name, and the cells beside it. Pictures are shown where
    they lie, so the page stays small.
    """
    found = sorted({verdict for verdicts in counts.values() for verdict in verdicts})
    with open_atomically(path, "w") as file:
        file.write(f"{page_head(title, STYLE)}\n{first_line(notice)}<table>{table_row(['source', *found], 'th')}")
        for source, verdicts in counts.items():
            file.write(table_row([source, *(f"{verdicts.get(verdict, 0):,}" for verdict in found)]))
        file.write(f"</table><table>{table_row(heads, 'th')}")
        for image, name, cells in rows:
            picture = f"{_picture(image, path)}<small>{escaped(name)}</small>"
            file.write(table_row([Markup(picture), *cells]))
        file.write("</table>\n")


def _picture(image: Path | None, page: Path) -> str:
    if image is None:
        return ""
    address = quote(os.fsencode(Path(os.path.relpath(image, page.parent)).as_posix()))
    return f'<img loading="lazy" alt="" src="{address}"><br>'
