"""Samples of captions beside their images, as one page that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.corpora.rows import caption_of
from sharegpt4v.image_paths import inside
from sharegpt4v.llava_format.reading import read_array, read_shard
from sharegpt4v.pages import Markup, escaped, first_line, page_head, table_row

SAMPLES = 12
LARGEST = 336  # pixels, the longer side
STYLE = "body{font:15px sans-serif;margin:2em} tr{vertical-align:top} td{padding:.5em 1em .5em 0;max-width:48em}"


def samples_in(outputs: Sequence[Path], root: Path) -> list[tuple[str, str]]:
    """Return some images, by their path below ``data/``, and captions, from what a job made; none from other files."""
    for path in outputs:
        if path == layout.SEED_CAPTIONS:
            rows = enumerate(read_array(root / path), start=1)
            return [caption_of(row, f"{path}, row {number}") for number, row in islice(rows, SAMPLES)]
        if path.parent == layout.caption_shard("").parent:
            return list(islice(_accepted(root / path), SAMPLES))
    return []


def _accepted(shard: Path) -> Iterator[tuple[str, str]]:
    for row in read_shard(shard):
        if row["status"] == "accepted":
            yield row["image"], row["caption"]


def caption_page(samples: Sequence[tuple[str, str]], data: Path, notice: str = "") -> str:
    """Return the page; a `notice` is its first line.

    Pictures that are not there, as after a pull without images, or are broken are left out.

    A `UserError` for a path that leads out of `data`.
    """
    rows = "".join(
        table_row([_picture(inside(data, image)), Markup(f"{escaped(caption)}<br><small>{escaped(image)}</small>")])
        for image, caption in samples
    )
    return f"{page_head('Captions', STYLE)}{first_line(notice)}<table>{rows}</table>\n"


def _picture(path: Path) -> Markup:
    from sharegpt4v.images.loading import open_rgb

    try:
        small = open_rgb(path)
    except Exception:  # Pillow raises nearly anything on a broken file
        return Markup()
    small.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    small.save(file, "PNG")
    return Markup(f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">')
