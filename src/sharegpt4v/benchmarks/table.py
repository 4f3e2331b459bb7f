"""The results table and the substitution table (paper, Tables 2 and 3, Figure 2) from score files, as CSV.

A column without a score is an empty cell, never 0. Every number has one decimal; the same scores give the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from sharegpt4v.benchmarks.reading import Row, json_object
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_text

COLUMNS = (
    "LLaVA-Bench-Wild", "MME-perception", "MME-cognition", "MMBench", "MMBench-CN", "SEED-image", "MM-Vet", "QBench",
    "SQA-image", "VQA-v2", "VizWiz", "GQA", "TextVQA",
)  # fmt: skip


class Cell(NamedTuple):
    """One number of the table and its standard error, if that could be estimated."""

    value: float
    stderr: float | None

    def __str__(self) -> str:
        return f"{self.value:.1f}" if self.stderr is None else f"{self.value:.1f} ± {self.stderr:.1f}"


@dataclass(frozen=True)
class Pair:
    """A substitution experiment: `model` is its name in the paper's Figure 2, the others are models of the table."""

    model: str
    before: str
    after: str


def read_scores(scores: Path, model: str) -> list[Row]:
    """Read the score files of one model, `scores`/`model`/*.json; none for a model without scores."""
    return [json_object(path) for path in sorted((scores / model).glob("*.json"))]


def read_cells(scores: Path, model: str) -> dict[str, Cell]:
    """Return the cells of one model by column."""
    return cells_of(read_scores(scores, model))


def cells_of(score_rows: Sequence[Row]) -> dict[str, Cell]:
    """Return the cells by column of what `read_scores` returns."""
    cells: dict[str, Cell] = {}
    for row in score_rows:
        errors = row.row("stderr").values
        for column, value in row.row("columns").values.items():
            if column not in COLUMNS or not isinstance(value, int | float):
                raise UserError(
                    f"{row.where}, columns: {column!r}: {value!r}; expected numbers for columns of the table"
                )
            cells[column] = Cell(value, errors.get(column))
    return cells


def write_table(models: Sequence[str], scores: Path, out_csv: Path) -> None:
    """Write one row per model and the thirteen columns."""
    rows = {model: read_cells(scores, model) for model in models}
    values = [
        [model, *(f"{cells[name].value:.1f}" if name in cells else "" for name in COLUMNS)]
        for model, cells in rows.items()
    ]
    write_text(out_csv, _csv([["model", *COLUMNS], *values]))


def terminal_text(models: Sequence[str], scores: Path) -> str:
    """Return the table for a terminal: a line per column of the table, a column per model, with standard errors."""
    rows = {model: read_cells(scores, model) for model in models}
    lines = [["", *models]]
    lines += [[name, *(str(cells.get(name, "")) for cells in rows.values())] for name in COLUMNS]
    widths = [max(len(line[position]) for line in lines) for position in range(len(models) + 1)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in lines
    )


def write_substitution(pairs: Sequence[Pair], scores: Path, paper_csv: Path, out_csv: Path) -> None:
    """Write before, after and gain of every column that both models of a pair have, with the paper's numbers.

    `paper_csv` is long: model, benchmark, before, after; what it does not give stays empty. Gains are differences of
    the printed numbers, so that every row adds up.
    """
    rows = read_paper(paper_csv, ["model", "benchmark", "before", "after"])
    paper = {(row["model"], row["benchmark"]): (row["before"], row["after"]) for row in rows}
    lines = [["model", "benchmark", "before", "after", "gain", "paper_before", "paper_after", "paper_gain"]]
    for pair in pairs:
        before, after = read_cells(scores, pair.before), read_cells(scores, pair.after)
        for column in COLUMNS:
            if column in before and column in after:
                ours = _with_gain(f"{before[column].value:.1f}", f"{after[column].value:.1f}")
                theirs = _with_gain(*paper.get((pair.model, column), ("", "")))
                lines.append([pair.model, column, *ours, *theirs])
    write_text(out_csv, _csv(lines))


def _with_gain(before: str, after: str) -> list[str]:
    return [before, after, f"{Decimal(after) - Decimal(before):.1f}" if before and after else ""]


def read_paper(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Read a table of the paper's numbers; a `UserError` when it is missing or has other columns."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the paper's numbers") from None
    reader = csv.DictReader(lines)
    if reader.fieldnames != columns:
        raise UserError(f"{path}, line 1: columns {reader.fieldnames}; expected {', '.join(columns)}")
    return list(reader)


def _csv(lines: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
