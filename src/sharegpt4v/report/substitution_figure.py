"""The figure of what better captions gain by themselves (paper, Figure 2), from ``results/substitution.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v.evaluation.expected import direction
from sharegpt4v.evaluation.gains import errors_file, percent_of_largest
from sharegpt4v.report.drawing import (
    AFTER,
    BEFORE,
    PAPER,
    SMALL,
    TEXT,
    Row,
    legend_above,
    name_rows,
    panels,
    read_table,
    save,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "What better captions gain: equal rows, other detail captions"
NOTE = (
    "Bars and discs are in % of the largest possible score: 2,000 of MME-perception, 800 of MME-cognition, 100 of all "
    "others. Numbers are the scores themselves.\nGains are followed by their standard error; lines reach two of them "
    "to each side."
)
BAR = 0.38
LINE = 0.42  # inches
EXPECTED = (
    "\nDirection expected by the paper’s claim: up in every column. ▲ marks the gains that are, ▼ those that are not."
)
PAIRS = 2  # beside each other

Pairs = Mapping[str, Mapping[str, Row]]


def substitution_figure(csv_path: Path, outs: Sequence[Path], notice: str = "") -> None:
    """Draw the table: per pair of models a panel of scores and one of gains.

    The paper's gains are drawn where the table has them; with a `notice` of the miniature, each gain has a mark of its
    direction instead. Standard errors are read from the file beside. `outs` end in .svg or .png.
    """
    pairs, benchmarks = _read(csv_path)
    lines = -(-len(pairs) // PAIRS)
    beside = min(PAIRS, len(pairs))
    ends = [end for rows in pairs.values() for row in rows.values() for end in _ends(row)]
    margin = 0.06 * (max(ends) - min(ends))
    scale = min(ends) - margin, max(ends) + margin
    with style():
        height = lines * (LINE * len(benchmarks) + 1.1)
        figure, grid = panels(height, lines, 2 * beside, width_ratios=(1.25, 1) * beside)
        places = grid.reshape(-1, 2)
        for number, ((scores, gains), (model, rows)) in enumerate(zip(places, pairs.items(), strict=False)):
            _draw_scores(scores, rows, benchmarks)
            _draw_gains(gains, rows, benchmarks, scale, marked=bool(notice))
            scores.set_title(model, pad=26)
            name_rows(scores, ["" if number % PAIRS else name for name in benchmarks])
            name_rows(gains, [""] * len(benchmarks))
        for unused in places[len(pairs) :].flat:
            unused.set_axis_off()
        save(figure, outs, TITLE, _alt(pairs, bool(notice)), notice, NOTE + (EXPECTED if notice else ""))


def _read(csv_path: Path) -> tuple[Pairs, list[str]]:
    """Return the rows by pair and benchmark, with the standard error of each gain, and all benchmarks."""
    errors = {
        (row["model"], row["benchmark"]): row["gain_stderr"]
        for row in read_table(errors_file(csv_path), ("model", "benchmark", "gain_stderr"))
    }
    pairs: dict[str, dict[str, Row]] = {}
    for row in read_table(csv_path, ("model", "benchmark", "before", "after", "gain", "paper_gain")):
        row["gain_stderr"] = errors.get((row["model"], row["benchmark"]), "")
        pairs.setdefault(row["model"], {})[row["benchmark"]] = row
    return pairs, list(dict.fromkeys(name for rows in pairs.values() for name in rows))


def _draw_scores(axes: Axes, rows: Mapping[str, Row], benchmarks: Sequence[str]) -> None:
    """Two bars per benchmark, before above after, each with its score."""
    for column, color, shift in (("before", BEFORE, -BAR / 2), ("after", AFTER, BAR / 2)):
        values = [float(row[column]) * _percent(row) for row in rows.values()]
        places = [benchmarks.index(name) + shift for name in rows]
        axes.barh(places, values, height=BAR, color=color, label=column)
        for place, value, row in zip(places, values, rows.values(), strict=True):
            axes.text(value + 1.5, place, row[column], va="center", fontsize=SMALL, color=TEXT)
    axes.set_xlim(0, 115)
    axes.set_xticks(range(0, 101, 25))
    axes.set_xlabel("score, % of the largest")
    legend_above(axes, 2)


def _draw_gains(
    axes: Axes, rows: Mapping[str, Row], benchmarks: Sequence[str], scale: tuple[float, float], marked: bool
) -> None:
    """Ours as a disc on its error line, the paper's as a diamond, around a line at zero; the gains at the right."""
    places = [benchmarks.index(name) for name in rows]
    ours = [float(row["gain"]) * _percent(row) for row in rows.values()]
    errors = [2 * float(row["gain_stderr"] or 0) * _percent(row) for row in rows.values()]
    axes.axvline(0, color=TEXT, linewidth=1)
    axes.errorbar(ours, places, xerr=errors, fmt="none", ecolor=BEFORE, elinewidth=4, zorder=1)
    axes.plot(ours, places, "o", color=AFTER, markersize=7, label="gain")
    theirs = [(float(row["paper_gain"]) * _percent(row), benchmarks.index(name))
              for name, row in rows.items() if row["paper_gain"]]  # fmt: skip
    if theirs:
        axes.plot(
            *zip(*theirs, strict=True), "D", color=PAPER, markersize=7, markerfacecolor="none", markeredgewidth=1.6,
            label="gain in the paper",
        )  # fmt: skip
    for place, row in zip(places, rows.values(), strict=True):
        axes.text(
            1.02, place, _sign(row) * marked + _gain(row), transform=axes.get_yaxis_transform(), va="center",
            fontsize=SMALL, color=TEXT,
        )  # fmt: skip
    axes.set_xlim(scale)
    axes.set_xlabel("gain, % of the largest score")
    legend_above(axes, 2)


def _ends(row: Row) -> tuple[float, ...]:
    """The ends of what is drawn of a gain, in percent, the line at zero with it."""
    ours, error = float(row["gain"]), 2 * float(row["gain_stderr"] or 0)
    numbers = (ours - error, ours + error, float(row["paper_gain"] or 0), 0.0, 1.0)
    return tuple(number * _percent(row) for number in numbers)


def _percent(row: Row) -> float:
    """The factor from a row's scores to percent of the largest possible one."""
    return percent_of_largest(row["benchmark"])


def _gain(row: Row) -> str:
    """A gain as it is written: `+1.5 ± 0.4`, `−3.0`, `0.0`."""
    gain = f"{float(row['gain']):+.1f}".replace("-", "−")
    gain = "0.0" if float(row["gain"]) == 0 else gain
    return f"{gain} ± {row['gain_stderr']}" if float(row["gain_stderr"] or 0) else gain


def _sign(row: Row) -> str:
    """The sign of a gain's direction, as `direction` has it in words beside."""
    return f"{direction(float(row['gain']))[0]} "


def _alt(pairs: Pairs, marked: bool) -> str:
    """All numbers of the figure in words."""
    told = []
    for model, rows in pairs.items():
        gains = (
            f"{name} {row['before']} to {row['after']} ({_gain(row)}"
            + (f", {direction(float(row['gain']))[2:]}" if marked else "")
            + (f"; in the paper {float(row['paper_gain']):+.1f})" if row["paper_gain"] else ")")
            for name, row in rows.items()
        )
        told.append(f"{model}, before and after: {', '.join(gains)}.")
    return " ".join(told)
