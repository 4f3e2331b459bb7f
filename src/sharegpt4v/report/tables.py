"""The tables of a run as tables of a page, each with a title: for the report, and for Snakemake's own."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.expected import direction
from sharegpt4v.evaluation.gains import errors_file

TITLES = {
    "table": "Every model on every benchmark",
    "substitution": "What better captions gain by themselves",
    "mixture": "Rows of every corpus by source",
    "datasets": "The caption data sets compared",
    "scores": "All that is known of every cell",
    "ablations": "Ablations",
}
ERRORS = (
    "Each score with its standard error, at 0 and 100 % with its 95 % interval (Wilson); in brackets what it lacks."
)


@dataclass(frozen=True)
class Table:
    """A table to show: `rows` as long as `head`; `numbers` says which columns are numbers, which go to the right."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    @property
    def numbers(self) -> list[bool]:
        """Which columns hold numbers in most of their cells."""
        return [
            sum(_is_number(row[place]) for row in self.rows) * 2 > len(self.rows) for place in range(len(self.head))
        ]


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV table that a run made; a `UserError` when it is missing or a row is too short."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{path}: no such table; make it first") from None
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise UserError(f"{path}, row {number}: as many cells as columns are expected; make the table again")
    return rows


def csv_table(path: Path, title: str, note: str = "") -> Table:
    """Return a CSV table as it is, the names of its columns in words."""
    rows = read_csv(path)
    names = list(rows[0]) if rows else []
    return Table(title, [name.replace("_", " ") for name in names], [list(row.values()) for row in rows], note)


def scores_table(cells: Mapping[str, Mapping[str, object]], columns: Sequence[str], expected: str = "") -> Table:
    """Return the results table: a row per column of benchmarks, a column per model; with what is `expected` of it."""
    rows = [[column, *(str(row.get(column, "")) for row in cells.values())] for column in columns]
    return Table(TITLES["table"], ["benchmark", *cells], rows, f"{expected} {ERRORS}".strip())


def gains_table(substitution: Path, expected: str = "") -> Table:
    """Return the table of gains, each with its standard error; where a direction is `expected`, with its mark."""
    errors = {(row["model"], row["benchmark"]): row["gain_stderr"] for row in read_csv(errors_file(substitution))}
    rows = []
    for row in read_csv(substitution):
        error = errors.get((row["model"], row["benchmark"]), "")
        gain = f"{float(row['gain']):+.1f}" + (f" ± {error}" if error else "")
        mark = [direction(float(row["gain"]))] if expected else []
        rows.append([row["model"], row["benchmark"], row["before"], row["after"], gain, *mark])
    head = ["model", "benchmark", "before", "after", "gain", *(["direction"] if expected else [])]
    note = f"{expected} Standard errors are over the differences question by question.".strip()
    return Table(TITLES["substitution"], head, rows, note)


def title_of(name: str) -> str:
    """Return the title of a table of the results, such as `datasets` or `captions/seed`."""
    folder, _, item = name.rpartition("/")
    return f"The {folder} of the set “{item}” by source" if folder else TITLES.get(name, name)


def turned(table: Table) -> Table:
    """Return a table whose columns are the rows of another."""
    head, *lines = zip(table.head, *table.rows, strict=True)
    return Table(table.title, head, lines, table.note)


def without(table: Table, start: str) -> Table:
    """Return a table without the columns whose names begin with `start`."""
    kept = [place for place, name in enumerate(table.head) if not name.startswith(start)]
    rows = [[row[place] for place in kept] for row in table.rows]
    return Table(table.title, [table.head[place] for place in kept], rows, table.note)


def _is_number(text: str) -> bool:
    return text.partition(" ")[0].lstrip("+-").replace(".", "").replace(",", "").isdigit()
