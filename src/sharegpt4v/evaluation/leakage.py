"""What MMStar says of a model beside its score: multi-modal gain and leakage (Chen et al. 2024).

With S_v the score, S_wv the same model's without the images, and S_t that of its language model before any multi-modal
training, also without images: the gain S_v - S_wv is what the images add, the leakage max(0, S_wv - S_t) is what the
training has taught about the questions themselves. The questions are the same in all three, so the standard errors are
taken over the differences question by question; that of the leakage is the one of S_wv - S_t.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharegpt4v.evaluation.base import error_of
from sharegpt4v.evaluation.reading import Row, json_object
from sharegpt4v.evaluation.table import IMAGE_COLUMNS, Cell

WITH_IMAGES, WITHOUT = "mmstar", "mmstar-text"


def image_cells(scores: Path, bases: Mapping[str, str | None]) -> dict[str, dict[str, Cell]]:
    """Return gain and leakage by model, as far as the scores for them are in the folder `scores`.

    `bases` says by model under which name its language model was scored there; None where it was not.
    """
    gain, leakage = IMAGE_COLUMNS
    found: dict[str, dict[str, Cell]] = {}
    for model, base in bases.items():
        seen, blind = _score(scores, model, WITH_IMAGES), _score(scores, model, WITHOUT)
        alone = _score(scores, base, WITHOUT) if base else None
        cells = {}
        if seen and blind:
            cells[gain] = _difference(seen, blind)
        if blind and alone:
            cell = _difference(blind, alone)
            cells[leakage] = cell._replace(value=max(0.0, cell.value))
        found[model] = cells
    return found


def _score(scores: Path, name: str, benchmark: str) -> Row | None:
    """Return a score file; None where there is none, or no score in it."""
    path = scores / name / f"{benchmark}.json"
    row = json_object(path) if path.exists() else None
    return row if row and row.row("columns").values else None


def _difference(one: Row, other: Row) -> Cell:
    (value,), (less,) = one.row("columns").values.values(), other.row("columns").values.values()
    items, others = _percents(one), _percents(other)
    differences = {unit: items[unit] - others[unit] for unit in items} if items.keys() == others.keys() else {}
    return Cell(value - less, error_of([differences]) or None)  # without any spread it is not known


def _percents(row: Row) -> dict[Any, float]:
    return {item["question_id"]: 100 * item["score"] for item in row.sequence("items")}
