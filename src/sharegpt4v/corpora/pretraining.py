"""The pre-training corpus: the captions of all shards that passed the gate, as one LLaVA JSON (paper §3.3: 1.2M)."""

from __future__ import annotations

import os
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from sharegpt4v.corpora.arithmetic import Arithmetic
from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.corpora.rows import caption_row, choose_question, source_of, write_array
from sharegpt4v.errors import UserError, printable
from sharegpt4v.files import open_atomically, sidecar
from sharegpt4v.llava_format.checks import check_shard_row
from sharegpt4v.llava_format.reading import LONGEST_ROW


def pretraining_corpus(shards: Sequence[Path], out: Path, questions: Sequence[str], seed: int) -> Arithmetic:
    """Write the accepted captions of `shards` to `out`; return the row arithmetic: those that were rejected went out.

    The order is by a hash of seed and image, so it does not depend on how the images were dealt into shards; only that
    order is held in memory, not the captions. The question before each caption is one of `questions`, chosen
    likewise; training leaves it out. Beside `out` come `<stem>.arithmetic.json` and `<stem>.provenance.jsonl`, a line
    per row. `UserError` for a broken shard, an image in two of them, or no caption at all.
    """
    lines = _Lines(shards, seed)
    with (
        ExitStack() as opened,
        open_atomically(out) as file,
        open_atomically(sidecar(out, "provenance.jsonl")) as notes,
    ):
        files = [opened.enter_context(open(shard, "rb")) for shard in shards]

        def rows() -> Iterator[dict[str, Any]]:
            for number in lines.order():
                shard, line = lines.shard[number], lines.line[number]
                row = lines.read(files, number)
                image, sha256 = row["image"], row["sha256"]
                note = {"image": image, "sha256": sha256, "shard": shards[shard].name, "line": line}
                notes.write(orjson.dumps(note, option=orjson.OPT_APPEND_NEWLINE))
                yield caption_row(image, row["caption"], choose_question(questions, image, seed))

        total = write_array(file, rows())
        lines.arithmetic.write(out)
    counts = Counter(lines.arithmetic.before)
    counts.subtract(lines.arithmetic.out)
    parts = ", ".join(f"{number:,} of {source}" for source, number in sorted(counts.items()))
    print(f"{out}: {total:,} captions, {parts}", file=sys.stderr)
    return lines.arithmetic


class _Lines:
    """The places of the rows of all shards, and the number that decides their order: some 30 bytes for each."""

    def __init__(self, shards: Sequence[Path], seed: int) -> None:
        self.shards, self.arithmetic = shards, Arithmetic()
        self.fraction, self.accepted = array("d"), array("b")
        self.shard, self.line = array("i"), array("i")
        self.start, self.length = array("q"), array("i")
        for number, shard in enumerate(shards):
            self._scan(number, shard, seed)

    def _scan(self, number: int, shard: Path, seed: int) -> None:
        position = line = 0
        for line, content in enumerate(_lines(shard), start=1):
            place = f"{shard}, line {line}"
            try:
                row = check_shard_row(orjson.loads(content), place)
            except orjson.JSONDecodeError as error:
                raise UserError(f"{place}: not JSON ({error.msg}); delete the file and make it again") from None
            image, accepted = row["image"], row["status"] == "accepted"
            source = source_of(image)
            self.arithmetic.before[source] += 1
            self.arithmetic.out[source] += not accepted
            self.fraction.append(hash_fraction(seed, "pre-training order", image))
            self.accepted.append(accepted)
            self.shard.append(number)
            self.line.append(line)
            self.start.append(position)
            self.length.append(len(content))
            position += len(content)
        if not line:
            raise UserError(f"{shard}: no rows in it; delete the file and make it again")

    def order(self) -> list[int]:
        """Return the numbers of the accepted rows in the order of the corpus."""
        if not any(self.accepted):
            raise UserError(f"{len(self.shards)} shards hold no accepted caption; expected at least one")
        fractions = np.frombuffer(self.fraction, np.float64)
        ordered = np.argsort(fractions, kind="stable")
        for place in np.flatnonzero(np.diff(fractions[ordered]) == 0):
            self._refuse_equal(int(ordered[place]), int(ordered[place + 1]))
        return ordered[np.frombuffer(self.accepted, np.int8)[ordered] != 0].tolist()  # type: ignore[no-any-return]

    def _refuse_equal(self, *numbers: int) -> None:
        """Equal images have equal fractions."""
        with ExitStack() as opened:
            files = [opened.enter_context(open(shard, "rb")) for shard in self.shards]
            images = [self.read(files, number)["image"] for number in numbers]
        if images[0] == images[1]:
            place = f"{self.shards[self.shard[numbers[1]]]}, line {self.line[numbers[1]]}"
            raise UserError(f"{place}: {printable(images[0])} has a caption already; expected each image once")

    def read(self, files: Sequence[Any], number: int) -> Any:
        """Return a row from the opened shards."""
        content = os.pread(files[self.shard[number]].fileno(), self.length[number], self.start[number])
        return orjson.loads(content)


def _lines(shard: Path) -> Iterator[bytes]:
    try:
        with open(shard, "rb") as file:
            for number in count(1):
                line = file.readline(LONGEST_ROW + 1)
                if len(line) > LONGEST_ROW:
                    raise UserError(f"{shard}, line {number}: more than {LONGEST_ROW:,} bytes; expected a row")
                if not line:
                    return
                yield line
    except OSError as error:
        raise UserError(f"{shard}: cannot be read ({error.strerror}); expected a shard of captions") from None
