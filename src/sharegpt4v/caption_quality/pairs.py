"""Two captions of each image: the images that two sets of captions have in common, and some of them by a seed."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.corpora.caption_files import ACCEPTED, UNKNOWN, Row, files_of, read_rows
from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.errors import UserError


@dataclass(frozen=True, slots=True)
class Pair:
    """The captions `a` and `b` of an image, whose path is below the folder of images."""

    image: str
    source: str
    a: str
    b: str


def captions_in(path: Path, among: Container[str] | None = None) -> Iterator[Row]:
    """Yield the captions of a file or a folder, of the images `among` alone; not what the gate has rejected."""
    for file in files_of([path]):
        for _, row in read_rows(file):
            wanted = among is None or row.image in among
            if wanted and row.reason in (ACCEPTED, UNKNOWN) and row.caption.strip():
                yield row


def images_in_both(a: Path, b: Path) -> set[str]:
    """Return the images that both sets caption; none is a `UserError`."""
    first, second = ({row.image for row in captions_in(path)} for path in (a, b))
    if common := first & second:
        return common
    raise UserError(
        f"{a} ({len(first):,} images) and {b} ({len(second):,} images) have no image in common; expected captions of "
        "the same images, named alike"
    )


def choose_pairs(a: Path, b: Path, images: set[str], count: int, seed: int) -> list[Pair]:
    """Return up to `count` pairs of the `images` of both sets, in the order of a seeded hash of their names.

    A larger count keeps what a smaller one chose. Of an image that a set captions twice, its last caption counts.
    """
    chosen = heapq.nsmallest(count, images, key=lambda image: (hash_fraction(seed, "preference", image), image))
    rows, others = ({row.image: row for row in captions_in(path, set(chosen))} for path in (a, b))
    return [Pair(image, rows[image].source, rows[image].caption, others[image].caption) for image in chosen]
