"""The figures of the report: what better captions gain (paper, Figure 2), the data sets (Table 1), their captions, the
losses.

The same numbers give the same bytes. The colours can be told apart by the colour-blind and in grey.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v.corpora.lexicon import CLASSES
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.gains import errors_file
from sharegpt4v.files import open_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEFORE, AFTER, PAPER, TEXT = "#9ecae1", "#08519c", "#d95f02", "#444444"
LARGEST = {"MME-perception": 2000.0, "MME-cognition": 800.0}  # every other benchmark ends at 100
BAR = 0.36
CLASS_COLORS = ("#08519c", "#6baed6", "#c6dbef", "#d95f02", "#fdae6b", "#8c8c8c", "#dedede")
REPETITIONS = {
    "repeated_4grams": "runs of four words repeated within a caption",
    "looping": "captions with eight words in a row twice",
    "near_duplicates": "captions nearly like another",
}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": TEXT,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 10,
    "svg.hashsalt": "sharegpt4v",  # otherwise the ids inside the file are drawn at random
    "svg.fonttype": "path",
}

Row = dict[str, str]


def substitution_figure(csv_path: Path, out: Path) -> None:
    """Draw ``results/substitution.csv``: a row of panels per pair of models, scores on the left, gains on the right.

    Scores are in percent of the best that the benchmark gives, so that MME fits beside the others; the labels are the
    scores themselves. A gain's bar is two standard errors to each side, from the file beside. `out` ends in .svg or
    .png.
    """
    pairs: dict[str, list[Row]] = {}
    for row in _read(csv_path, ("model", "benchmark", "before", "after", "gain", "paper_gain")):
        pairs.setdefault(row["model"], []).append(row)
    errors = {
        (row["model"], row["benchmark"]): row["gain_stderr"]
        for row in _read(errors_file(csv_path), ("model", "benchmark", "gain_stderr"))
    }
    for row in (row for rows in pairs.values() for row in rows):
        row["gain_stderr"] = errors.get((row["model"], row["benchmark"]), "")
    heights = [len(rows) + 1.6 for rows in pairs.values()]
    with _style():
        figure, axes = _figure(heights, columns=(1.6, 1))
        for (scores, gains), (model, rows) in zip(axes, pairs.items(), strict=True):
            _draw_scores(scores, model, rows)
            _draw_gains(gains, rows)
        axes[-1][0].set_xlabel("score, % of the largest possible (at the bars: the score itself)")
        axes[-1][1].set_xlabel("gain, % of the largest possible score; bars: two standard errors")
        _save(figure, out)


def datasets_figure(csv_path: Path, out: Path) -> None:
    """Draw ``results/datasets.csv``: the average length of a caption, the number of samples, words and repetitions.

    `out` ends in .svg or .png.
    """
    columns = ("name", "samples", "average_characters", "paper_samples", "paper_average_characters")
    rows = _read(csv_path, (*columns, *CLASSES, *REPETITIONS))
    names = [row["name"] for row in rows]
    with _style():
        figure, ((lengths, samples), captions) = _figure([len(rows) + 1.6, len(rows) + 2.6], columns=(1, 1))
        _draw_bars(lengths, rows, "average_characters")
        _draw_bars(samples, rows, "samples")
        _name_rows(lengths, names)
        _name_rows(samples, [""] * len(rows))
        lengths.set_xlabel("characters per caption, on average")
        lengths.set_xlim(0, lengths.dataLim.x1 * 1.4)
        samples.set_xlabel("samples (logarithmic)")
        samples.set_xscale("log")
        samples.set_xlim(1, max(10, samples.dataLim.x1) ** 1.7)
        lengths.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2)
        _draw_captions(captions, rows, names)
        _save(figure, out)


def captions_figure(csv_path: Path, out: Path) -> None:
    """Draw a table of ``results/captions``: words and repetitions of each source. `out` ends in .svg or .png."""
    rows = _read(csv_path, ("source", "captions", *CLASSES, *REPETITIONS))
    with _style():
        figure, (captions,) = _figure([len(rows) + 2.6], columns=(1, 1))
        _draw_captions(captions, rows, [f"{row['source']} ({int(row['captions']):,})" for row in rows])
        _save(figure, out)


def curves_figure(csv_path: Path, out: Path) -> None:
    """Draw ``results/curves.csv``: the loss of every training over its length. `out` ends in .svg or .png."""
    from matplotlib.figure import Figure

    rows = _read(csv_path, ("percent",))
    with _style():
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.subplots()
        percents = [float(row["percent"]) for row in rows]
        for number, name in enumerate(name for name in rows[0] if name != "percent"):
            line = ("-", "--", ":")[number // 10 % 3]  # there are ten colours
            axes.plot(percents, [float(row[name]) for row in rows], line, linewidth=1.2, label=name)
        axes.set_xlabel("% of the training")
        axes.set_ylabel("loss")
        axes.set_ylim(bottom=0)
        axes.grid(color="#dddddd", linewidth=0.6)
        figure.legend(loc="outside right upper", frameon=False)
        _save(figure, out)


def _draw_scores(axes: Axes, model: str, rows: Sequence[Row]) -> None:
    """Two bars per benchmark, before above after, each with its score."""
    for column, color, shift in (("before", BEFORE, -BAR / 2), ("after", AFTER, BAR / 2)):
        values = [float(row[column]) * _percent(row) for row in rows]
        places = [place + shift for place in range(len(rows))]
        axes.barh(places, values, height=BAR, color=color, label=column)
        for place, value, row in zip(places, values, rows, strict=True):
            axes.text(value + 1, place, row[column], va="center", fontsize=7, color=TEXT)
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.set_title(model)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2)
    _name_rows(axes, [row["benchmark"] for row in rows])


def _draw_gains(axes: Axes, rows: Sequence[Row]) -> None:
    """Ours as a disc on its error bar, with the gain above; the paper's as a ring; around a line at zero."""
    theirs = [(place, float(row["paper_gain"]) * _percent(row)) for place, row in enumerate(rows) if row["paper_gain"]]
    ours = [float(row["gain"]) * _percent(row) for row in rows]
    axes.axvline(0, color=TEXT, linewidth=0.8)
    axes.errorbar(
        ours, range(len(rows)), xerr=[2 * float(row["gain_stderr"] or 0) * _percent(row) for row in rows],
        fmt="none", ecolor=BEFORE, elinewidth=3, zorder=1,
    )  # fmt: skip
    axes.plot(ours, range(len(rows)), "o", color=AFTER, markersize=5, label="here")
    axes.plot(
        [value for _, value in theirs], [place for place, _ in theirs],
        "D", color=PAPER, markersize=6, markerfacecolor="none", label="paper",
    )  # fmt: skip
    for place, (value, row) in enumerate(zip(ours, rows, strict=True)):
        axes.annotate(
            _signed(row["gain"]), (value, place), (0, 5), textcoords="offset points", ha="center",
            va="bottom", fontsize=7, color=TEXT,
        )  # fmt: skip
    axes.margins(x=0.12)
    axes.set_title("gain")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2)
    _name_rows(axes, [""] * len(rows))


def _draw_bars(axes: Axes, rows: Sequence[Row], column: str) -> None:
    """A bar per data set with its number, and a mark where the paper's number is."""
    values = [float(row[column]) for row in rows]
    axes.barh(range(len(rows)), values, height=0.55, color=AFTER, label="here")
    theirs = [(place, float(row[f"paper_{column}"])) for place, row in enumerate(rows) if row[f"paper_{column}"]]
    axes.plot(
        [value for _, value in theirs], [place for place, _ in theirs],
        "D", color=PAPER, markersize=6, markerfacecolor="none", markeredgewidth=1.4, label="paper",
    )  # fmt: skip
    for place, (value, row) in enumerate(zip(values, rows, strict=True)):
        paper = float(row[f"paper_{column}"] or 0)
        axes.annotate(
            f"{value:,.0f}" + (f" (paper {paper:,.0f})" if paper else ""), (max(value, paper), place), (8, 0),
            textcoords="offset points", va="center", fontsize=8, color=TEXT,
        )  # fmt: skip


def _draw_captions(panels: Sequence[Axes], rows: Sequence[Row], names: Sequence[str]) -> None:
    """Of which words the captions are, as one bar each, and how repetitive they are, as three."""
    words, repetitions = panels
    lefts = [0.0] * len(rows)
    for name, color in zip(CLASSES, CLASS_COLORS, strict=True):
        shares = [float(row[name]) for row in rows]
        words.barh(range(len(rows)), shares, left=lefts, height=0.6, color=color, label=name)
        for place, (left, share) in enumerate(zip(lefts, shares, strict=True)):
            if share >= 5:
                dark = color in ("#08519c", "#d95f02", "#8c8c8c")
                words.text(
                    left + share / 2, place, f"{share:.0f}", ha="center", va="center", fontsize=7,
                    color="white" if dark else TEXT,
                )  # fmt: skip
        lefts = [left + share for left, share in zip(lefts, shares, strict=True)]
    words.set_xlim(0, 100)
    words.set_xlabel("% of the words")
    shifts, colors = (-0.22, 0.0, 0.22), (BEFORE, AFTER, PAPER)
    for shift, color, (column, label) in zip(shifts, colors, REPETITIONS.items(), strict=True):
        values = [float(row[column]) for row in rows]
        places = [place + shift for place in range(len(rows))]
        repetitions.barh(places, values, height=0.22, color=color, label=label)
        for at, value in zip(places, values, strict=True):
            repetitions.annotate(
                f"{value:.1f}", (value, at), (3, 0), textcoords="offset points", va="center", fontsize=6, color=TEXT
            )
    repetitions.set_xlim(0, max(1.0, repetitions.dataLim.x1) * 1.15)
    repetitions.set_xlabel("%")
    for axes, columns in ((words, 4), (repetitions, 1)):
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, borderaxespad=0.2, fontsize=7,
            columnspacing=1, handlelength=1,
        )  # fmt: skip
    _name_rows(words, names)
    _name_rows(repetitions, [""] * len(rows))


def _percent(row: Row) -> float:
    """The factor from a score to percent of the largest possible one."""
    return 100.0 / LARGEST.get(row["benchmark"], 100.0)


def _signed(number: str) -> str:
    return f"{float(number):+.1f}".replace("-", "−")


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _figure(heights: Sequence[float], columns: tuple[float, float]) -> tuple[Figure, Any]:
    """A figure 9 inches wide with a row of two panels per height; a height is counted in lines of 0.42 inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.42 * sum(heights)), layout="constrained")
    return figure, figure.subplots(len(heights), 2, squeeze=False, height_ratios=heights, width_ratios=columns)


def _style() -> AbstractContextManager[None]:
    from matplotlib import rc_context

    return rc_context(STYLE)


def _save(figure: Figure, out: Path) -> None:
    kind = out.suffix.removeprefix(".")
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with open_atomically(out) as file:
        figure.savefig(file, format=kind, dpi=150, metadata=metadata)


def _read(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a CSV table; a missing file, missing columns or an empty table is a `UserError`."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path}, line 1: no column {', '.join(missing)}; make the table again")
            rows = list(reader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such table; make it first") from None
    if not rows:
        raise UserError(f"{path}: no rows in it; nothing to draw")
    return rows
