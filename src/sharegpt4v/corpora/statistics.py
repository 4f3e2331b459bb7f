"""Caption data sets compared: how many samples, how long on average (paper, Table 1)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sharegpt4v.corpora.reading import read_array as read_array
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_csv

COLUMNS = ("name", "source", "visible", "captioned_by", "samples", "average_characters")


@dataclass(frozen=True)
class DatasetSource:
    """One line of the comparison.

    `name` is the paper's where it has one. `visible` says whether the captioner saw the image. `format` is "coco" for
    COCO's caption annotations, "llava" for a LLaVA JSON whose answers are captions.
    """

    name: str
    image_source: str
    visible: bool
    captioned_by: str
    path: Path
    format: Literal["coco", "llava"]


def datasets(rows: Sequence[DatasetSource], paper_csv: Path, out_csv: Path) -> None:
    """Write a line per data set: samples, average characters per caption, and the paper's numbers where it has them.

    A sample is an image of COCO, which has five captions, or a row of a LLaVA JSON. `paper_csv` has the columns
    `COLUMNS`. A missing or wrong file is a `UserError`.
    """
    paper = _read_paper(paper_csv)
    lines: list[Sequence[str]] = [[*COLUMNS, "paper_samples", "paper_average_characters"]]
    for row in rows:
        samples, average = count(row.path, row.format)
        theirs = paper.get(row.name, ("", ""))
        seen = "yes" if row.visible else "no"
        lines.append([row.name, row.image_source, seen, row.captioned_by, str(samples), f"{average:.1f}", *theirs])
    write_csv(out_csv, lines)


def count(path: Path, format: Literal["coco", "llava"]) -> tuple[int, float]:
    """Return the number of samples and the mean length of a caption in characters."""
    samples: set[Any] = set()
    captions = characters = 0
    for sample, caption in _coco(path) if format == "coco" else _llava(path):
        samples.add(sample)
        captions += 1
        characters += len(caption.strip())
    if not captions:
        raise UserError(f"{path}: no captions in it; expected at least one")
    return len(samples), characters / captions


def _coco(path: Path) -> Iterator[tuple[int, str]]:
    """Yield image id and caption of every annotation in COCO's ``captions_train2017.json``."""
    document = read_json(path)
    annotations = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(annotations, list):
        raise UserError(f"{path}: no list 'annotations'; expected COCO's captions, such as captions_train2017.json")
    for number, row in enumerate(annotations, start=1):
        try:
            yield row["image_id"], str(row["caption"])
        except (KeyError, TypeError):
            raise UserError(f"{path}, annotation {number}: expected 'image_id' and 'caption'") from None


def _llava(path: Path) -> Iterator[tuple[int, str]]:
    """Yield row number and caption, the first answer, of every row."""
    for number, row in enumerate(read_array(path), start=1):
        try:
            yield number, next(turn["value"] for turn in row["conversations"] if turn["from"] == "gpt")
        except (KeyError, TypeError, StopIteration):
            raise UserError(f"{path}, row {number}: no answer of 'gpt'; expected a LLaVA row with a caption") from None


def _read_paper(path: Path) -> dict[str, tuple[str, str]]:
    """Return the paper's samples and average characters by the name of the data set."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the paper's numbers") from None
    reader = csv.DictReader(lines)
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise UserError(f"{path}, line 1: columns {reader.fieldnames}; expected {', '.join(COLUMNS)}")
    return {row["name"]: (row["samples"], row["average_characters"]) for row in reader}
