"""The pre-training corpus: the captions of all shards that passed the gate, as one LLaVA JSON (paper §3.3: 1.2M)."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from sharegpt4v.corpora.rows import caption_row, choose_question, source_of, write_array
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically
from sharegpt4v.teacher.prompts import hash_fraction

Place = tuple[int, int]
"""The number of a shard, and the byte at which a row of it begins."""


def pretraining_corpus(shards: Sequence[Path], out: Path, questions: Sequence[str], seed: int) -> dict[str, int]:
    """Write the accepted captions of `shards` to `out`; return source → rows.

    The order is by a hash of seed and image, so it does not depend on how the images were dealt into shards; only that
    order is held in memory, not the captions. The question before each caption is one of `questions`, chosen
    likewise; training leaves it out. `UserError` for a broken shard, an image in two of them, or no caption at all.
    """
    order = sorted(_accepted(shards, seed))
    if not order:
        raise UserError(f"{len(shards)} shards hold no accepted caption; expected at least one")
    counts: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        with ExitStack() as opened:
            files = [opened.enter_context(open(shard, "rb")) for shard in shards]
            for _, (shard, position) in order:
                files[shard].seek(position)
                row = orjson.loads(files[shard].readline())
                counts[source_of(row["image"])] += 1
                question = choose_question(questions, row["image"], seed)
                yield caption_row(row["image"], row["caption"], question)

    with open_atomically(out) as file:
        total = write_array(file, rows())
    parts = ", ".join(f"{number:,} of {source}" for source, number in sorted(counts.items()))
    print(f"{out}: {total:,} captions, {parts}", file=sys.stderr)
    return dict(sorted(counts.items()))


def _accepted(shards: Sequence[Path], seed: int) -> Iterator[tuple[float, Place]]:
    """Yield where the accepted rows of all shards begin, with the number that decides their order."""
    seen: set[str] = set()
    for number, shard in enumerate(shards):
        position = 0
        for line, content in enumerate(_lines(shard), start=1):
            try:
                row = orjson.loads(content)
                image, accepted = row["image"], row["status"] == "accepted" and isinstance(row["caption"], str)
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise UserError(
                    f"{shard}, line {line}: not a row of a shard of captions; delete the file and make it again"
                ) from None
            if image in seen:
                raise UserError(f"{shard}, line {line}: {image} has a caption already; expected each image once")
            seen.add(image)
            if accepted:
                yield hash_fraction(seed, "pre-training order", image), (number, position)
            position += len(content)


def _lines(shard: Path) -> Iterator[bytes]:
    try:
        with open(shard, "rb") as file:
            yield from file
    except FileNotFoundError:
        raise UserError(f"{shard}: no such file; expected a shard of captions") from None
