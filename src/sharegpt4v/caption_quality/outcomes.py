"""From choices to win rates: which caption is preferred, intervals over images, how much the order counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST, SECOND = "first", "second"
A, B, TIE, UNREADABLE = "a", "b", "tie", "unreadable"
RESAMPLES = 2_000
COLUMNS = (
    "judge", "source", "images", "a_better", "b_better", "ties", "unreadable", "a_win_rate", "low", "high",
    "first_shown", "agreement", "kappa", "a", "b",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preference:
    """Which caption of an image is better, `A`, `B`, `TIE` or `UNREADABLE`, and the choices that say so."""

    image: str
    source: str
    better: str
    choices: tuple[str | None, ...]


def of_both_orders(image: str, source: str, choices: tuple[str | None, str | None]) -> Preference:
    """Return what a judge prefers that was shown A B, then B A: what it chose both times, else it is a tie.

    A choice is `FIRST`, `SECOND` or `TIE`, None where nothing readable was said.
    """
    wins: dict[tuple[str | None, str | None], str] = {(FIRST, SECOND): A, (SECOND, FIRST): B}
    return Preference(image, source, UNREADABLE if None in choices else wins.get(choices, TIE), choices)


def win_rates(
    judge: str, found: Sequence[Preference], names: tuple[str, str], others: Sequence[Preference] = ()
) -> list[dict[str, Any]]:
    """Return a row of `COLUMNS` for all images and for each source.

    `a_win_rate` is in percent of the readable ones, a tie is half a win; `low` and `high` are its 95 % bootstrap
    interval over images. `first_shown` is the percentage of decided choices that named what came first: 50 without a
    bias for a position. `agreement`, in percent, and Cohen's kappa are with what `others` prefer of the same images.
    Each is empty where there is nothing to divide by.
    """
    known = {one.image: one.better for one in others}
    rows = []
    for source, here in _by_source(found).items():
        better = [one.better for one in here]
        counts = [better.count(name) for name in (A, B, TIE, UNREADABLE)]
        won = np.array([{A: 1.0, B: 0.0, TIE: 0.5}[name] for name in better if name != UNREADABLE])
        decided = [one == FIRST for pair in here for one in pair.choices if one in (FIRST, SECOND)]
        shown = f"{100 * sum(decided) / len(decided):.1f}" if decided else ""
        equal = agreement((one.better, known[one.image]) for one in here if one.image in known)
        values = (judge, source, len(here), *counts, *_interval(won), shown, *equal, *names)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def agreement(pairs: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Return the percentage of pairs that are equal, and what of it is beyond chance (Cohen, 1960); empty without."""
    both = [pair for pair in pairs if UNREADABLE not in pair]
    if not both:
        return "", ""
    equal = sum(one == other for one, other in both) / len(both)
    ones, others = zip(*both, strict=True)
    chance = sum(ones.count(name) * others.count(name) for name in (A, B, TIE)) / len(both) ** 2
    return f"{100 * equal:.1f}", f"{(equal - chance) / (1 - chance):.2f}" if chance < 1 else ""


def _by_source(found: Sequence[Preference]) -> dict[str, Sequence[Preference]]:
    """Return all as `all`, then those of each source, where there are several."""
    parts: dict[str, list[Preference]] = {}
    for one in sorted(found, key=lambda one: one.source):
        parts.setdefault(one.source or "-", []).append(one)
    return {"all": found, **(parts if len(parts) > 1 else {})}


def _interval(won: NDArray[np.float64]) -> tuple[str, str, str]:
    """Return mean, low and high in percent, as text."""
    if not len(won):
        return "", "", ""
    drawn = np.random.default_rng(0).integers(0, len(won), (RESAMPLES, len(won)))
    low, high = np.percentile(won[drawn].mean(axis=1), [2.5, 97.5])
    return f"{100 * won.mean():.1f}", f"{100 * low:.1f}", f"{100 * high:.1f}"
