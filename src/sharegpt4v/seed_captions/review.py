"""A page for a person to look over what the quality gate has set aside: the image, the text, the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sharegpt4v.corpora.review import write_page
from sharegpt4v.image_paths import inside


def write_review(
    path: Path,
    rejected: Iterable[Mapping[str, Any]],
    data: Path,
    counts: Mapping[str, Mapping[str, int]],
    notice: str = "",
) -> None:
    """Write the page, as a stream: a notice, how many by source and reason, then each of the `rejected`.

    These have image (a path below `data`), source, reason and text; `counts` is what `count_reasons` returns.
    """
    rows = ((inside(data, row["image"]), row["image"], [row["reason"], row["text"]]) for row in rejected)
    write_page(path, "Rejected captions", ["image", "reason", "text"], rows, counts, notice)
