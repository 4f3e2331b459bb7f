"""The results tables from score files, as CSV, and all that is known of each of their cells.

One table has the paper's columns (Tables 2 and 3), the other those of benchmarks that have been added since.

A column without a score is an empty cell, never 0. Every number has one decimal; the same scores give the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import Completeness
from sharegpt4v.evaluation.reading import Row, json_object
from sharegpt4v.files import write_csv
from sharegpt4v.terminal import plain_table

IMAGE_COLUMNS = ("MMStar-gain", "MMStar-leakage")
"""Columns that are differences of others; see `leakage`."""


def _columns(table: str) -> Iterator[str]:
    for benchmark in read_catalogue().values():
        yield from benchmark.columns if benchmark.table == table else ()
        yield from IMAGE_COLUMNS if (benchmark.table, benchmark.name) == (table, "mmstar-text") else ()


COLUMNS = tuple(_columns("paper"))
"""Those of the paper's Tables 2 and 3."""

MORE_COLUMNS = tuple(_columns("more"))
"""Those of the benchmarks that have been added since."""

COLUMNS_OF = {"paper": COLUMNS, "more": MORE_COLUMNS}

Cells = Mapping[str, Mapping[str, "Cell"]]
"""By model and column."""

NO_CELLS: Cells = {}

CELL_FIELDS = [
    "model", "benchmark", "value", "stderr", "low", "high", "n", "missing", "repeated", "unknown", "failed", "split",
    "scorer", "judge", "answers_sha256", "model_sha256", "code",
]  # fmt: skip


class Cell(NamedTuple):
    """One number of the table with its standard error, or in place of that an interval, and what it lacks.

    A number without either could not be given an error.
    """

    value: float
    stderr: float | None
    interval: tuple[float, float] | None = None
    completeness: Completeness = Completeness(0)

    def __str__(self) -> str:
        error = "" if self.stderr is None else f" ± {self.stderr:.1f}"
        error = f" ({self.interval[0]:.1f}–{self.interval[1]:.1f})" if self.interval else error
        return f"{self.value:.1f}{error}" + (f" [{self.completeness}]" if self.completeness.faults else "")

    def differs_from(self, number: float) -> bool:
        """Say whether a number is outside the interval, or outside two standard errors."""
        if self.interval:
            return not self.interval[0] <= number <= self.interval[1]
        return self.stderr is not None and abs(self.value - number) > 2 * self.stderr


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
        errors, intervals = row.row("stderr").values, row.values.get("interval", {})
        completeness = row.values.get("completeness", {})
        for column, value in row.row("columns").values.items():
            if column not in (*COLUMNS, *MORE_COLUMNS) or not isinstance(value, int | float):
                raise UserError(
                    f"{row.where}, columns: {column!r}: {value!r}; expected numbers for columns of the table"
                )
            complete = Completeness(**completeness.get(column, {"expected": 0}))
            cells[column] = Cell(value, errors.get(column), intervals.get(column), complete)
    return cells


def table_of(score_row: Row) -> str:
    """Return the table that a score belongs to; one of a benchmark that is not in the catalogue is in the paper's."""
    entry = read_catalogue().get(score_row.values.get("benchmark", ""))
    return entry.table if entry else "paper"


def write_table(
    models: Sequence[str], scores: Path, out_csv: Path, table: str = "paper", also: Cells = NO_CELLS
) -> None:
    """Write one row per model and the columns of `table`; `also` holds cells that are in no score file."""
    rows = {model: {**read_cells(scores, model), **also.get(model, {})} for model in models}
    values = [
        [model, *(f"{cells[name].value:.1f}" if name in cells else "" for name in COLUMNS_OF[table])]
        for model, cells in rows.items()
    ]
    write_csv(out_csv, [["model", *COLUMNS_OF[table]], *values])


def write_cells(models: Sequence[str], scores: Path, out_csv: Path) -> None:
    """Write one row per cell with all that is known of it; `code` is the hash of the code that answered."""
    lines = [CELL_FIELDS]
    for model in models:
        for row in read_scores(scores, model):
            known, n = row.values, row.row("n").values
            judge = row.row("parts").values.get("judge", {})
            origin = [known.get(name) or "" for name in ("answers_sha256", "model_sha256", "code")]
            for column, cell in cells_of([row]).items():
                ends = cell.interval or ("", "")
                numbers = [repr(cell.value), "" if cell.stderr is None else repr(cell.stderr), *ends, n.get(column, "")]
                numbers += [getattr(cell.completeness, name) for name in ("missing", "repeated", "unknown", "failed")]
                how = [row.text("split"), row.text("scorer"), judge.get("model", "")]
                lines.append([model, column, *numbers, *how, *origin])
    write_csv(out_csv, lines)


def terminal_text(models: Sequence[str], scores: Path, table: str = "paper", also: Cells = NO_CELLS) -> str:
    """Return the table for a terminal: a line per column of the table, a column per model, as `Cell` shows it."""
    rows = {model: {**read_cells(scores, model), **also.get(model, {})} for model in models}
    lines = [["", *models]]
    lines += [[name, *(str(cells.get(name, "")) for cells in rows.values())] for name in COLUMNS_OF[table]]
    return plain_table(lines, right=range(1, len(models) + 1))


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
