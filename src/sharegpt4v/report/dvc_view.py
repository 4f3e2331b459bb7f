"""What `dvc metrics show` and `dvc plots show` read: the scores of a model, and the loss of every training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.table import COLUMNS, MORE_COLUMNS, read_cells
from sharegpt4v.files import read_jsonl, write_csv, write_json


def write_metrics(model: str, scores: Path, out: Path) -> None:
    """Write the scores of a model by column of the tables, in their order and with their one decimal."""
    cells = read_cells(scores, model)
    write_json(out, {name: round(cells[name].value, 1) for name in (*COLUMNS, *MORE_COLUMNS) if name in cells})


def write_curves(trainings: Mapping[str, Path], out: Path) -> None:
    """Write the loss in a hundred points, a column per training; `trainings` are checkpoints by name.

    Trainings differ in length, so points are percents of each; a point is the mean since the one before.
    """
    columns = {name: _hundred_points(_losses(folder / "metrics.jsonl")) for name, folder in trainings.items()}
    write_csv(out, [["percent", *columns], *zip(range(1, 101), *columns.values(), strict=True)])


def _losses(record: Path) -> list[float]:
    losses = [row["loss"] for row in read_jsonl(record) if "loss" in row]
    if not losses:
        raise UserError(f"{record}: no loss in it; expected the record of a training; train the model again")
    return losses


def _hundred_points(losses: Sequence[float]) -> list[str]:
    ends = [math.ceil(percent * len(losses) / 100) for percent in range(101)]
    parts = [losses[min(start, end - 1) : end] for start, end in itertools.pairwise(ends)]
    return [f"{sum(part) / len(part):.4f}" for part in parts]
