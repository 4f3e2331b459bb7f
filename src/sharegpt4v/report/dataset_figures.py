"""The figures of captions: the data sets compared (paper, Table 1), and the sources of one data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v.corpora.lexicon import CLASSES
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

TITLE = "The caption data sets"
CLASS_COLORS = ("#08519c", "#6baed6", "#c6dbef", "#d95f02", "#fdae6b", "#8c8c8c", "#dedede")
DARK = ("#08519c", "#d95f02", "#8c8c8c")
REPETITIONS = {
    "repeated_4grams": "% of runs of four words that come twice in their caption",
    "looping": "% of captions with eight words in a row twice",
    "near_duplicates": "% of captions nearly like another",
}
LINE = 0.46  # inches
ORDERS = 30.0  # between the largest number and the smallest: more of them, and the scale is logarithmic


def datasets_figure(csv_path: Path, outs: Sequence[Path], notice: str = "") -> None:
    """Draw ``results/datasets.csv``: the average length of a caption, the number of samples, words and repetitions.

    The paper's numbers are drawn where the table has them. `outs` end in .svg or .png.
    """
    columns = ("name", "samples", "average_characters", "paper_samples", "paper_average_characters")
    rows = read_table(csv_path, (*columns, *CLASSES, *REPETITIONS))
    names = [row["name"] for row in rows]
    heights = (LINE * len(rows) + 1.0, LINE * len(rows) + 1.7)
    with style():
        figure, ((lengths, samples), captions) = panels(sum(heights), 2, 2, height_ratios=heights)
        _draw_bars(lengths, rows, "average_characters", "characters per caption, on average")
        _draw_bars(samples, rows, "samples", "samples")
        name_rows(lengths, names)
        name_rows(samples, [""] * len(rows))
        _draw_captions(captions, rows, names)
        save(figure, outs, TITLE, _alt(rows, names, _lengths), notice)


def captions_figure(csv_path: Path, outs: Sequence[Path], notice: str = "") -> None:
    """Draw a table of ``results/captions``: words and repetitions of each source. `outs` end in .svg or .png."""
    rows = read_table(csv_path, ("source", "captions", *CLASSES, *REPETITIONS))
    names = [f"{row['source']} ({int(row['captions']):,})" for row in rows]
    with style():
        figure, (captions,) = panels(LINE * len(rows) + 1.7, 1, 2)
        _draw_captions(captions, rows, names)
        title = f"The captions of each source, and how many: {csv_path.stem}"
        save(figure, outs, title, _alt(rows, names, lambda row: ""), notice)


def _draw_bars(axes: Axes, rows: Sequence[Row], column: str, label: str) -> None:
    """A bar per data set with its number, and a mark where the table has the paper's."""
    values = [float(row[column]) for row in rows]
    theirs = [(float(row[f"paper_{column}"]), place) for place, row in enumerate(rows) if row[f"paper_{column}"]]
    axes.barh(range(len(rows)), values, height=0.6, color=AFTER, label="here")
    if theirs:
        axes.plot(
            *zip(*theirs, strict=True), "D", color=PAPER, markersize=7, markerfacecolor="none", markeredgewidth=1.6,
            label="in the paper",
        )  # fmt: skip
        legend_above(axes, 2)
    for place, (value, row) in enumerate(zip(values, rows, strict=True)):
        paper = float(row[f"paper_{column}"] or 0)
        axes.annotate(
            f"{value:,.0f}" + (f" (paper {paper:,.0f})" if paper else ""), (max(value, paper), place), (8, 0),
            textcoords="offset points", va="center", fontsize=SMALL, color=TEXT,
        )  # fmt: skip
    drawn = [*values, *(value for value, _ in theirs)]
    if max(drawn) > ORDERS * max(1.0, min(drawn)):
        axes.set_xscale("log")
        axes.set_xlim(1, max(drawn) ** 1.4)
        label += " (logarithmic scale)"
    else:
        axes.set_xlim(0, max(drawn) * (1.4 if theirs else 1.15))
    axes.set_xlabel(label)


def _draw_captions(pair: Sequence[Axes], rows: Sequence[Row], names: Sequence[str]) -> None:
    """Of which words the captions are, as one bar each, and how repetitive they are, as three."""
    words, repetitions = pair
    _draw_words(words, rows)
    shifts, colors = (-0.26, 0.0, 0.26), (BEFORE, AFTER, PAPER)
    for shift, color, (column, label) in zip(shifts, colors, REPETITIONS.items(), strict=True):
        values = [float(row[column]) for row in rows]
        places = [place + shift for place in range(len(rows))]
        repetitions.barh(places, values, height=0.24, color=color, label=label)
        for at, value in zip(places, values, strict=True):
            repetitions.annotate(
                f"{value:.1f}", (value, at), (3, 0), textcoords="offset points", va="center", fontsize=8, color=TEXT
            )
    repetitions.set_xlim(0, max(1.0, repetitions.dataLim.x1) * 1.12)
    repetitions.set_xlabel("%, of what the legend says")
    legend_above(words, 4)
    legend_above(repetitions, 1)
    name_rows(words, names)
    name_rows(repetitions, [""] * len(rows))


def _draw_words(axes: Axes, rows: Sequence[Row]) -> None:
    """The kinds of words side by side, together 100 %; what is at least 5 % has its number."""
    lefts = [0.0] * len(rows)
    for name, color in zip(CLASSES, CLASS_COLORS, strict=True):
        shares = [float(row[name]) for row in rows]
        axes.barh(range(len(rows)), shares, left=lefts, height=0.66, color=color, label=name)
        for place, (left, share) in enumerate(zip(lefts, shares, strict=True)):
            if share >= 5:
                axes.text(
                    left + share / 2, place, f"{share:.0f}", ha="center", va="center", fontsize=SMALL,
                    color="white" if color in DARK else TEXT,
                )  # fmt: skip
        lefts = [left + share for left, share in zip(lefts, shares, strict=True)]
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the words")


def _lengths(row: Row) -> str:
    text = f"{float(row['samples']):,.0f} samples, {float(row['average_characters']):,.0f} characters on average; "
    if not row["paper_samples"]:
        return text
    return f"{text}in the paper {row['paper_samples']} samples, {row['paper_average_characters']} characters; "


def _alt(rows: Sequence[Row], names: Sequence[str], more: Callable[[Row], str]) -> str:
    """All numbers of the figure in words."""
    told = []
    for name, row in zip(names, rows, strict=True):
        words = ", ".join(f"{kind} {float(row[kind]):.0f} %" for kind in CLASSES)
        repeated = ", ".join(f"{row[column]} {label}" for column, label in REPETITIONS.items())
        told.append(f"{name}: {more(row)}{words}; {repeated}.")
    return " ".join(told)
