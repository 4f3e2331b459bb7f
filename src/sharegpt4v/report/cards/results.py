"""A model's row of the results table, for its card and for the Hub's metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharegpt4v import layout
from sharegpt4v.evaluation.table import COLUMNS, MORE_COLUMNS, Cell, cells_of, read_scores
from sharegpt4v.miniature import is_miniature
from sharegpt4v.report.cards.rendering import paragraphs, table

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.evaluation.reading import Row

TASK = "image-text-to-text"
ERRORS = "A score is followed by its standard error, or by an interval in brackets; some scores could be given neither."


def evaluations(config: Config, name: str) -> list[Any]:
    """Return the cells of the model's row as the Hub has them; those of drawn benchmarks are named so."""
    from huggingface_hub import EvalResult

    drawn = " (drawn by the miniature)" if is_miniature(config) else ""
    found = []
    for column, cell, row in _cells(name):
        known = {
            "standard_error": None if cell.stderr is None else round(cell.stderr, 1),
            "interval": [round(end, 1) for end in cell.interval] if cell.interval else None,
            "questions": row.row("n").values.get(column),
        }
        found.append(
            EvalResult(
                task_type=TASK,
                dataset_type=row.text("benchmark"),
                dataset_name=f"{column}{drawn}",
                dataset_split=row.text("split"),
                metric_type="score",
                metric_name=column,
                metric_value=round(cell.value, 1),
                metric_args={key: value for key, value in known.items() if value is not None},
            )
        )
    return found


def results_section(name: str) -> str:
    """Return the model's row of the results table, a line per column."""
    rows = [
        (column, cell, row.row("n").values.get(column), row.text("split"), row.text("scorer"), _judge(row))
        for column, cell, row in _cells(name)
    ]
    if not rows:
        return "No scores are on record."
    return paragraphs(ERRORS, table(("Column", "Score", "Questions", "Split", "Scorer", "Judge"), rows))


def _cells(name: str) -> list[tuple[str, Cell, Row]]:
    """Return the cells of a model in the order of the tables, each with the score file it is from."""
    found = [
        (column, cell, row) for row in read_scores(layout.SCORES, name) for column, cell in cells_of([row]).items()
    ]
    return sorted(found, key=lambda one: (*COLUMNS, *MORE_COLUMNS).index(one[0]))


def _judge(row: Row) -> str:
    return str(row.row("parts").values.get("judge", {}).get("model", ""))
