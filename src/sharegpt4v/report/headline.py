"""What a run found, in numbers: how many columns better captions win, and what they gain on average."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.evaluation.gains import errors_file, percent_of_largest
from sharegpt4v.report.tables import read_csv


@dataclass(frozen=True)
class Counted:
    """How many columns, and how many of them by more than two standard errors."""

    columns: int
    clear: int


@dataclass(frozen=True)
class Finding:
    """A pair of models that differ in their captions alone.

    `gain` is the mean over the columns in % of the largest possible score; `error` is its standard error, None where
    that of a column is not known.
    """

    pair: str
    columns: int
    better: Counted
    worse: Counted
    equal: int
    gain: float
    error: float | None


def findings(substitution: Path) -> list[Finding]:
    """Return what each pair of ``results/substitution.csv`` and its errors shows; none where there is no such table."""
    if not substitution.exists():
        return []
    errors = {(row["model"], row["benchmark"]): row["gain_stderr"] for row in read_csv(errors_file(substitution))}
    pairs: dict[str, list[tuple[float, float | None]]] = {}
    for row in read_csv(substitution):
        percent = percent_of_largest(row["benchmark"])
        error = errors.get((row["model"], row["benchmark"]), "")
        gain = float(row["gain"]) * percent, float(error) * percent if error else None
        pairs.setdefault(row["model"], []).append(gain)
    return [_finding(pair, gains) for pair, gains in pairs.items()]


def _finding(pair: str, gains: Sequence[tuple[float, float | None]]) -> Finding:
    known = [error for _, error in gains if error is not None]
    error = math.hypot(*known) / len(gains) if len(known) == len(gains) else None
    return Finding(
        pair,
        len(gains),
        _counted([(gain, error) for gain, error in gains if gain > 0]),
        _counted([(-gain, error) for gain, error in gains if gain < 0]),
        sum(gain == 0 for gain, _ in gains),
        math.fsum(gain for gain, _ in gains) / len(gains),
        error,
    )


def _counted(gains: Sequence[tuple[float, float | None]]) -> Counted:
    return Counted(len(gains), sum(error is not None and gain > 2 * error for gain, error in gains))


def filled(cells: Mapping[str, Mapping[str, object]], columns: Sequence[str]) -> int:
    """Return how many cells of the table have a score, of all models."""
    return sum(column in row for row in cells.values() for column in columns)
