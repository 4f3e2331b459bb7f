"""MMBench-CN in the synthetic world: MMBench's own questions on its own pictures, in Chinese, as in the real one.

What is written in a picture stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from sharegpt4v.evaluation.benchmarks.mmbench_cn import TSV
from sharegpt4v.evaluation.benchmarks.mmbench_file import LETTERS
from sharegpt4v.mini.chinese import QUESTION, said
from sharegpt4v.mini.evaluation.mmbench import Row, rounds, tsv_bytes
from sharegpt4v.mini.packing import Member


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the one file: the rows of the English one, translated."""
    yield TSV, tsv_bytes(translated(row) for row in rounds(questions, seed, pixels))


def translated(row: Row) -> Row:
    """A row of the English file in Chinese."""
    options = {letter: said(row[letter]) for letter in LETTERS if letter in row}
    return {**row, "question": QUESTION, **options}
