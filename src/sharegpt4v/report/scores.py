"""The results table of the report, and the provenance of each of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharegpt4v import layout, lineage
from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.config import Config
from sharegpt4v.evaluation.reading import Row
from sharegpt4v.evaluation.table import COLUMNS, MORE_COLUMNS, Cell, cells_of, read_paper, read_scores
from sharegpt4v.evaluation.table_page import FIELDS
from sharegpt4v.miniature import is_miniature
from sharegpt4v.report.tables import read_csv

PAPER = Path("config/paper/results.csv")
NAMES = {
    "n": "items it is a mean or sum over", "missing": "answers missing", "repeated": "answers repeated",
    "unknown": "answers to no question", "failed": "verdicts that cannot be read", "split": "split", "scorer": "scorer",
    "judge": "judge", "answers_sha256": "SHA-256 of the answers", "model_sha256": "hash of the model",
    "code": "hash of the code that answered",
}  # fmt: skip
"""What the page names each column of ``results/scores.csv``."""

OF_JUDGE = {
    "answered_by": "model that answered for the judge", "prompt_sha256": "SHA-256 of the judge’s prompt",
    "official": "the prompt is the official one", "temperatures": "temperatures", "runs": "runs of the judge",
    "replies_sha256": "SHA-256 of the replies",
}  # fmt: skip
"""What the page names each field of the provenance of the judge's replies."""


@dataclass(frozen=True)
class ShownCell:
    """A cell of the table: its number as text, empty where there is none, and what is known of it, by name."""

    id: str
    model: str
    column: str
    text: str
    best: bool
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Scores:
    """The tables: `rows` by column of benchmarks, a cell for each of `models`; `cells` are those with a score.

    `more` are the rows of benchmarks that the paper does not report, none where the config asks none.
    """

    models: Sequence[str]
    rows: Mapping[str, Sequence[ShownCell]]
    more: Mapping[str, Sequence[ShownCell]]
    cells: Mapping[str, Mapping[str, Cell]]


def scores_of(config: Config) -> Scores:
    """Read the scores of a run and ``results/scores.csv``."""
    models = [model.name for model in config.models]
    read = {name: read_scores(layout.SCORES, name) for name in models}
    cells = {name: cells_of(rows) for name, rows in read.items()}
    known = {(row["model"], row["benchmark"]): row for row in read_csv(layout.CELLS)}
    paper = {} if is_miniature(config) else _paper(config)
    rows: dict[str, list[ShownCell]] = {}
    columns = (*COLUMNS, *MORE_COLUMNS) if config.benchmarks.more else COLUMNS
    for number, column in enumerate(columns):
        benchmark = _benchmark_of(column)
        values = [cells[name][column].value for name in models if column in cells[name]]
        rows[column] = []
        for place, name in enumerate(models):
            cell, row = cells[name].get(column), _score_file(read[name], benchmark)
            facts = [*_facts(known.get((name, column), {}), row), *_origin(config, name, benchmark)]
            facts += [("in the paper", paper[name, column])] if (name, column) in paper else []
            best = cell is not None and len(models) > 1 and cell.value == max(values) > min(values)
            shown = ShownCell(f"cell-{number}-{place}", name, column, str(cell or ""), best, facts)
            rows[column].append(shown)
    more = {column: rows.pop(column) for column in MORE_COLUMNS if column in rows}
    return Scores(models, rows, more, cells)


def _benchmark_of(column: str) -> str:
    """The benchmark of a column; of gain and leakage the one that answers with images."""
    return next((one.name for one in read_catalogue().values() if column in one.columns), "mmstar")


def _score_file(rows: Sequence[Row], benchmark: str) -> Row | None:
    return next((row for row in rows if row.text("benchmark") == benchmark), None)


def _facts(known: Mapping[str, str], row: Row | None) -> list[tuple[str, str]]:
    """What ``results/scores.csv`` says of a cell, and what the judge's replies say of themselves."""
    if row is None:
        return [("not scored", "this benchmark is not among those that the config scores here")]
    if "missing" in row.values:
        return [("not scored", row.text("missing"))]
    judge: dict[str, Any] = row.row("parts").values.get("judge", {})
    facts = [(title, known[name]) for name, title in NAMES.items() if known.get(name)]
    return facts + [(title, _shown(judge[name])) for name, title in OF_JUDGE.items() if name in judge]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _origin(config: Config, model: str, benchmark: str) -> list[tuple[str, str]]:
    """Where the files behind a cell are."""
    checkpoint = lineage.finished(lineage.model_named(config, model))
    files = {
        "checkpoint": checkpoint,
        "answers": layout.ANSWERS / model / f"{benchmark}.jsonl",
        "verdict on every question": layout.SCORES / model / f"{benchmark}.json",
    }
    return [(name, path.as_posix()) for name, path in files.items()]


def _paper(config: Config) -> dict[tuple[str, str], str]:
    """The paper's numbers by the name of a model here, and column."""
    names = {model.paper: model.name for model in config.models if model.paper}
    rows = read_paper(layout.of_project(PAPER), FIELDS)
    return {
        (names[row["model"]], row["benchmark"]): f"{row['value']} ({row['model']}, {row['source']})"
        for row in rows
        if row["model"] in names
    }
