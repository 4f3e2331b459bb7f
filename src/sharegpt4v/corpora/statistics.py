"""Caption data sets compared: how many samples, how long, of which words (paper, Table 1 and supplement)."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sharegpt4v.corpora.captions import COLUMNS as COUNTED
from sharegpt4v.corpora.captions import Counts, count_captions
from sharegpt4v.corpora.rows import coco_captions, source_of
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_csv
from sharegpt4v.llava_format.checks import check_row
from sharegpt4v.llava_format.reading import read_array

COLUMNS = ("name", "source", "visible", "captioned_by", "samples", "average_characters")
ALSO = tuple(column for column in COUNTED if column not in COLUMNS)
ALL = "all"


@dataclass(frozen=True)
class DatasetSource:
    """One line of the comparison.

    `name` is the paper's where it has one. `visible` says whether the captioner saw the image. `format` is "coco" for
    COCO's caption annotations, "llava" for a LLaVA JSON whose answers are captions. `table` names the table of its
    captions. `folder` is the source of all its images; None where their paths begin with their sources.
    """

    name: str
    image_source: str
    visible: bool
    captioned_by: str
    path: Path
    format: Literal["coco", "llava"]
    table: str
    folder: str | None = None


def datasets(rows: Sequence[DatasetSource], paper_csv: Path | None, out_csv: Path, processes: int = 1) -> None:
    """Write a line per data set with the paper's numbers where it has them, and a table of the captions of each.

    A sample is an image of COCO, which has five captions, or a row of a LLaVA JSON. `paper_csv` has the columns
    `COLUMNS`; without it no number of the paper is written. The tables go to the folder captions/ beside `out_csv`: a
    line per source, and one for all. A missing or wrong file is a `UserError`; then nothing is written.
    """
    paper = _read_paper(paper_csv) if paper_csv else {}
    lines: list[Sequence[str]] = [[*COLUMNS, "paper_samples", "paper_average_characters", *ALSO]]
    tables: dict[str, list[Sequence[str]]] = {}
    for row in rows:
        start = time.monotonic()
        samples, sources = count(row, processes)
        theirs = paper.get(row.name, ("", ""))
        table = caption_table(sources, theirs[1])
        seen = "yes" if row.visible else "no"
        numbers = dict(zip(table[0], table[-1], strict=True))
        lines.append(
            [row.name, row.image_source, seen, row.captioned_by, str(samples), numbers["average_characters"], *theirs]
            + [numbers[name] for name in ALSO]
        )
        tables[row.table] = table
        seconds = time.monotonic() - start
        print(f"{row.path}: {int(numbers['captions']):,} captions counted in {seconds:.1f} s", file=sys.stderr)
    for name, table in tables.items():
        write_csv(out_csv.parent / "captions" / f"{name}.csv", table)
    write_csv(out_csv, lines)


def count(row: DatasetSource, processes: int = 1) -> tuple[int, dict[str, Counts]]:
    """Return the number of samples of a data set, and what is counted in its captions, by source."""
    samples: set[Any] = set()

    def captions() -> Iterator[tuple[str, str]]:
        for sample, image, caption in _coco(row.path) if row.format == "coco" else _llava(row.path):
            samples.add(sample)
            yield row.folder or source_of(image), caption

    sources = count_captions(captions(), processes)
    if not sources:
        raise UserError(f"{row.path}: no captions in it; expected at least one")
    return len(samples), sources


def caption_table(sources: Mapping[str, Counts], paper_average_characters: str) -> list[Sequence[str]]:
    """Return the lines of the table of a set: its columns, each source, and all of them beside the paper's number."""
    whole = Counts()
    for counts in sources.values():
        whole.add(counts)
    lines: list[Sequence[str]] = [["source", *COUNTED, "paper_average_characters"]]
    for name, counts in {**sources, ALL: whole}.items():
        lines.append([name, *counts.cells(), paper_average_characters if name == ALL else ""])
    return lines


def _coco(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield image id, image and caption of every annotation in COCO's ``captions_train2017.json``."""
    return ((number, str(number), caption) for number, caption in coco_captions(path))


def _llava(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield row number, image and caption, the first answer, of every row."""
    for number, row in enumerate(read_array(path), start=1):
        place = f"{path}, row {number}"
        turns = check_row(row, place)["conversations"]
        answer = next((turn["value"] for turn in turns if turn["from"] == "gpt"), None)
        if not row.get("image") or answer is None:
            raise UserError(f"{place}: no answer of 'gpt', or no image; expected a LLaVA row with a caption")
        yield number, row["image"], answer


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
