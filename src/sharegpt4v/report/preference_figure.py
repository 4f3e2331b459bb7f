"""The figure of a preference study (paper, Table 2), from ``results/preference.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.report.drawing import (
    AFTER,
    BEFORE,
    GRID,
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

TITLE = "Which captions are preferred"
NOTE = (
    "% of images with a readable verdict. A model as judge sees both captions in both orders, and prefers one when it "
    "says so both times.\nThe paper's people preferred GPT4-Vision's captions in 38.2 %, Share-Captioner's in 35.3 %."
)
LINE = 0.42  # inches
PARTS = (("a_better", AFTER, "white"), ("ties", GRID, TEXT), ("b_better", BEFORE, TEXT))


def preference_figure(csv_path: Path, outs: Sequence[Path], notice: str = "") -> None:
    """Draw a bar per judge and source: A better, ties, B better. `outs` end in .svg or .png.

    The paper's numbers are named only where there is no `notice` of the miniature.
    """
    rows = read_table(csv_path, ("judge", "source", "images", "a_better", "ties", "b_better", "a", "b"))
    names = dict(a_better=f"A better: {rows[0]['a']}", ties="neither", b_better=f"B better: {rows[0]['b']}")
    with style():
        figure, grid = panels(LINE * len(rows) + 1.0, 1, 1)
        axes = grid[0, 0]
        starts = [0.0] * len(rows)
        for name, color, ink in PARTS:
            widths = [_percent(row, name) for row in rows]
            axes.barh(range(len(rows)), widths, left=starts, height=0.7, color=color, label=names[name])
            for place, (start, width) in enumerate(zip(starts, widths, strict=True)):
                if width >= 4:
                    axes.text(
                        start + width / 2, place, f"{width:.0f}", ha="center", va="center", fontsize=SMALL, color=ink
                    )
            starts = [start + width for start, width in zip(starts, widths, strict=True)]
        name_rows(axes, [f"{row['judge']}, {row['source']} ({row['images']})" for row in rows])
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of images")
        legend_above(axes, 3)
        save(figure, outs, TITLE, _alt(rows), notice, NOTE.partition("\n")[0] if notice else NOTE)


def _percent(row: Row, name: str) -> float:
    whole = sum(int(row[part]) for part, _, _ in PARTS)
    return 100 * int(row[name]) / whole if whole else 0.0


def _alt(rows: Sequence[Row]) -> str:
    """All numbers of the figure in words."""
    return " ".join(
        f"{row['judge']}, {row['source']}, of {row['images']} images: {row['a']} better {row['a_better']}, neither "
        f"{row['ties']}, {row['b']} better {row['b_better']}."
        for row in rows
    )
