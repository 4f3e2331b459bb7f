"""The tables of questions that MMBench comes in, and others that VLMEvalKit keeps in the same form, images included."""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import Question
from sharegpt4v.files import read_text

LONGEST_INDEX = 15  # the digits that a spreadsheet keeps


def read_tsv(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield index and row of a TSV file that must have `columns`; a broken row is a `UserError` with its line."""
    csv.field_size_limit(1 << 30)  # cells hold whole images
    reader = csv.DictReader(io.StringIO(read_text(path, "a table of questions"), newline=""), delimiter="\t")
    absent = [name for name in ("index", *columns) if name not in (reader.fieldnames or [])]
    if absent:
        raise UserError(f"{path}, line 1: no column {', '.join(absent)}; expected the benchmark's official columns")
    seen: set[int] = set()
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            raise UserError(f"{where}: not {len(reader.fieldnames or [])} cells; expected one for each column")
        index = row["index"]
        if not index.isdecimal() or len(index) > LONGEST_INDEX or int(index) in seen:
            raise UserError(f"{where}, column index: {index[:60]!r}; expected a whole number of its own")
        seen.add(int(index))
        yield int(index), row


def is_missing(cell: str) -> bool:
    """Say whether a cell stands for nothing."""
    return cell.lower() in ("", "nan", "none")


def image_of(path: Path, index: int, rows: Mapping[int, Mapping[str, str]]) -> bytes:
    """Return the image of a row, which is in it as base64, or in the row whose index is there."""
    cell = rows[index]["image"]
    if len(cell) <= 64 and cell.isdecimal() and int(cell) in rows:
        cell = rows[int(cell)]["image"]
    try:
        image = base64.b64decode(cell, validate=True)
    except (binascii.Error, ValueError):
        image = b""
    if not image:
        raise UserError(f"{path}, index {index}, column image: not base64; expected an image or another row's index")
    return image


def questions_of(path: Path, ending: str, longest_answer: int, with_images: bool = True) -> list[Question]:
    """Return a question per row of a table: its text with `ending` behind it, and its image."""
    rows = dict(read_tsv(path, ("question", "image")))
    return [
        Question(index, image_of(path, index, rows) if with_images else None, row["question"] + ending, longest_answer)
        for index, row in rows.items()
    ]
