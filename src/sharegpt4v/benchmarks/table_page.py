"""The results table as a page to read, results/table.md: value ± standard error, the paper's number, the difference.

Below the table stand the split that each column was scored on, and for a judged column who judged, when, and how many
verdicts failed (paper, Tables 2 and 3).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from sharegpt4v.benchmarks.reading import Row, json_object
from sharegpt4v.benchmarks.table import COLUMNS, Cell, read_cells
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_text

FIELDS = ["model", "benchmark", "value", "source"]


def write_page(models: Mapping[str, str | None], scores: Path, paper_csv: Path, out: Path) -> None:
    """Write a row per model of `models`, and two more for a model that `models` gives a name in the paper's tables.

    `paper_csv` is long: model, benchmark, value, source. A difference outside two standard errors is bold.
    """
    paper = _read_paper(paper_csv)
    lines = [["model", *COLUMNS], ["---", *("---:" for _ in COLUMNS)]]
    for model, published in models.items():
        cells = read_cells(scores, model)
        lines.append([model, *(str(cells.get(name, "")) for name in COLUMNS)])
        if published is not None:
            numbers = {name: paper[published, name] for name in COLUMNS if (published, name) in paper}
            lines.append([f"{published} in the paper", *(f"{numbers[n]:.1f}" if n in numbers else "" for n in COLUMNS)])
            lines.append(["difference", *(_difference(cells.get(n), numbers.get(n)) for n in COLUMNS)])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    note = "Each value is followed by its standard error; a **difference** in bold is outside two of them.\n"
    write_text(out, f"{table}\n{note}{_splits(models, scores)}{_judges(models, scores)}")


def _difference(cell: Cell | None, number: float | None) -> str:
    if cell is None or number is None:
        return ""
    text = f"{cell.value - number:+.1f}"
    return f"**{text}**" if cell.stderr is not None and abs(cell.value - number) > 2 * cell.stderr else text


def _splits(models: Mapping[str, str | None], scores: Path) -> str:
    """One sentence: the split behind each column."""
    splits = {
        column: row.text("split")
        for model in models
        for row in _score_files(scores, model)
        for column in row.row("columns").values
    }
    listed = ", ".join(f"{column} {splits[column]}" for column in COLUMNS if column in splits)
    return f"\nSplits: {listed}.\n" if listed else ""


def _judges(models: Mapping[str, str | None], scores: Path) -> str:
    """A line per model and judged column."""
    lines = []
    for model in models:
        for row in _score_files(scores, model):
            parts = row.row("parts")
            if "judge" in parts.values:
                judge = parts.row("judge").values
                column = ", ".join(row.row("columns").values)
                by = judge.get("model", "replies that were given")
                when = "".join(f" on {date}" for date in judge.get("dates", [])[-1:])
                prompt = "" if judge.get("official", True) else ", not by the official prompt"
                failed = parts.values.get("failed verdicts", 0)
                lines.append(f"- {model}, {column}: judged by {by}{when}{prompt}; {failed} verdicts failed\n")
    return "".join(["\n", *lines]) if lines else ""


def _score_files(scores: Path, model: str) -> list[Row]:
    return [json_object(path) for path in sorted((scores / model).glob("*.json"))]


def _read_paper(path: Path) -> dict[tuple[str, str], float]:
    """The published numbers by model and column."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != FIELDS:
            raise UserError(f"{path}, line 1: columns {reader.fieldnames}; expected {', '.join(FIELDS)}")
        return {(row["model"], row["benchmark"]): float(row["value"]) for row in reader}
