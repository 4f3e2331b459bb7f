"""Samples of captions beside their pictures, as one page that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.files import read_json, read_jsonl
from sharegpt4v.pages import Markup, escaped, page_head, table_row

SAMPLES = 12
LARGEST = 336  # pixels, the longer side
STYLE = "body{font:15px sans-serif;margin:2em} tr{vertical-align:top} td{padding:.5em 1em .5em 0;max-width:48em}"


def samples_in(outputs: Sequence[Path], root: Path) -> list[tuple[str, str]]:
    """Return some images, by their path below ``data/``, and captions, from what a job made; none from other files."""
    for path in outputs:
        if path == layout.SEED_CAPTIONS:
            rows = ((row["image"], row["conversations"][-1]["value"]) for row in read_json(root / path))
            return list(islice(rows, SAMPLES))
        if path.parent == layout.caption_shard("").parent:
            return list(islice(_accepted(root / path), SAMPLES))
    return []


def _accepted(shard: Path) -> Iterator[tuple[str, str]]:
    return ((row["image"], row["caption"]) for row in read_jsonl(shard) if row["status"] == "accepted")


def caption_page(samples: Sequence[tuple[str, str]], data: Path) -> str:
    """Return the page. Pictures that are not below `data`, as after a pull without images, are left out."""
    rows = "".join(
        table_row([_picture(data / image), Markup(f"{escaped(caption)}<br><small>{escaped(image)}</small>")])
        for image, caption in samples
    )
    return f"{page_head('Captions', STYLE)}<table>{rows}</table>\n"


def _picture(path: Path) -> Markup:
    from PIL import Image

    if not path.is_file():
        return Markup()
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    small.save(file, "PNG")
    return Markup(f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">')
