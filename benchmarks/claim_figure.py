"""The figure of `claim.py`: the mean gain of each pair in each column with two standard errors, and every seed's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from claim_runs import Gain, Pair, Run, gains_of

from sharegpt4v.evaluation.gains import percent_of_largest
from sharegpt4v.report.drawing import AFTER, BEFORE, SMALL, TEXT, legend_above, name_rows, panels, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTE = (
    "In % of the largest possible score: 2,000 of MME-perception, 800 of MME-cognition, 100 of all others.\nNumbers "
    "are gains in the score itself: the mean ± two standard errors over the seeds, to which the lines reach."
)
LINE = 0.34  # inches


def claim_figure(pairs: Sequence[Pair], runs: Sequence[Run], out: Path, notice: str = "") -> None:
    """Draw a panel per pair that has scores; nothing where none has."""
    found = {pair: gains for pair in pairs if (gains := gains_of(pair, runs))}
    if not found:
        return
    columns = list(dict.fromkeys(gain.column for gains in found.values() for gain in gains))
    with style():
        figure, grid = panels(LINE * len(columns) + 1.1, 1, len(found))
        for number, (axes, (pair, gains)) in enumerate(zip(grid.flat, found.items(), strict=True)):
            _draw(axes, gains, columns)
            axes.set_title(f"{pair.before}\n→ {pair.after}", pad=26)
            name_rows(axes, [""] * len(columns) if number else columns)
        title = f"What better captions gain, over {len(runs)} seed{'s' if len(runs) > 1 else ''}"
        save(figure, [out], title, _alt(found), notice, NOTE)


def _draw(axes: Axes, gains: Sequence[Gain], columns: Sequence[str]) -> None:
    for gain in gains:
        place, percent = columns.index(gain.column), percent_of_largest(gain.column)
        first = gain is gains[0]
        axes.errorbar(gain.mean * percent, place, xerr=(gain.two_errors or 0.0) * percent, fmt="none", ecolor=BEFORE,
                      elinewidth=4, zorder=1)  # fmt: skip
        seeds = [value * percent for value in gain.gains.values()]
        axes.plot(
            seeds, [place] * len(seeds), "|", color=TEXT, markersize=8, alpha=0.6, label="one seed" if first else ""
        )
        axes.plot(gain.mean * percent, place, "o", color=AFTER, markersize=7, label="mean" if first else "")
        axes.text(
            1.02, place, _text(gain), transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL, color=TEXT
        )
    axes.axvline(0, color=TEXT, linewidth=1)
    axes.set_xlabel("gain, % of the largest score")
    legend_above(axes, 2)


def _text(gain: Gain) -> str:
    error = "" if gain.two_errors is None else f" ± {gain.two_errors:.1f}"
    return f"{gain.mean:+.1f}{error}".replace("-", "−")


def _alt(found: dict[Pair, list[Gain]]) -> str:
    """All means of the figure in words."""
    return " ".join(
        f"{pair.before} to {pair.after}: {', '.join(f'{gain.column} {_text(gain)}' for gain in gains)}."
        for pair, gains in found.items()
    )
