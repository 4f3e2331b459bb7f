"""A page for a person to look over what the quality gate has set aside: the image, the text, the reason."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sharegpt4v.files import open_atomically
from sharegpt4v.image_paths import inside
from sharegpt4v.pages import Markup, escaped, page_head, table_row

STYLE = (
    "body{font:15px sans-serif;margin:2em} tr{vertical-align:top} td,th{padding:.5em 1em .5em 0;text-align:left}"
    "td{max-width:48em} img{max-width:336px;max-height:336px}"
)


def write_review(
    path: Path, rejected: Iterable[Mapping[str, Any]], data: Path, counts: Mapping[str, Mapping[str, int]]
) -> None:
    """Write the page, as a stream: how many by source and reason, then each of the `rejected`.

    These have image (a path below `data`), source, reason and text; `counts` is what `count_reasons` returns. Pictures
    are shown where they lie, so the page stays small.
    """
    found = sorted({reason for reasons in counts.values() for reason in reasons})
    with open_atomically(path, "w") as file:
        file.write(f"{page_head('Rejected captions', STYLE)}\n<table>{table_row(['source', *found], 'th')}")
        for source, reasons in counts.items():
            file.write(table_row([source, *(f"{reasons.get(reason, 0):,}" for reason in found)]))
        file.write(f"</table><table>{table_row(['image', 'reason', 'text'], 'th')}")
        for row in rejected:
            address = quote(Path(os.path.relpath(inside(data, row["image"]), path.parent)).as_posix())
            image = f'<img loading="lazy" alt="" src="{address}"><br><small>{escaped(row["image"])}</small>'
            file.write(table_row([Markup(image), row["reason"], row["text"]]))
        file.write("</table>\n")
