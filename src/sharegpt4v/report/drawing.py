"""What all figures share: one style, the table that is read, the lines around the panels, SVG and PNG with alt texts.

The same numbers give the same bytes. The colours can be told apart by the colour-blind and in grey.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from sharegpt4v.errors import UserError
from sharegpt4v.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEFORE, AFTER, PAPER, TEXT, GRID = "#9ecae1", "#08519c", "#d95f02", "#444444", "#dddddd"
WIDTH = 12.0  # inches: 1,920 pixels of a PNG
DOTS = 160  # per inch
HEAD, NOTICE_HEAD, LINE, EDGE = 0.36, 0.26, 0.2, 0.08  # inches
SMALL = 9.5  # points, of what is written beside bars
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": TEXT,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "axes.labelcolor": TEXT,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "svg.hashsalt": "sharegpt4v",  # otherwise the ids inside the file are drawn at random
    "svg.fonttype": "path",
}

Row = dict[str, str]


def style() -> AbstractContextManager[None]:
    """Return the context in which every figure is drawn and saved."""
    from matplotlib import rc_context

    return rc_context(STYLE)


def panels(height: float, rows: int, columns: int, **ratios: Sequence[float]) -> tuple[Figure, Any]:
    """Return a figure with a grid of panels, `height` inches high, and the array of the panels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=dict(ratios))


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the places 0, 1, … of a panel of horizontal bars, from the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def legend_above(axes: Axes, columns: int) -> None:
    """Put the legend above a panel, from its left end, in so many columns."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, columnspacing=1.2, handlelength=1.2
    )


def save(figure: Figure, outs: Sequence[Path], title: str, alt: str, notice: str = "", note: str = "") -> None:
    """Write a figure to files that end in .svg or .png, with a title above and a note below its panels.

    A `notice` is the first line. `alt` says in words what is to be seen: the description of an SVG, for readers of a
    screen, and in the metadata of a PNG.
    """
    lines = note.count("\n") + 1 if note else 0
    head, foot = HEAD + EDGE + (NOTICE_HEAD if notice else 0), lines * LINE + EDGE
    width, height = figure.get_size_inches()
    whole = height + head + foot
    figure.set_size_inches(width, whole)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, foot / whole, 1, height / whole))
    left, top = EDGE / width, 1 - EDGE / whole
    if notice:
        figure.text(left, top, notice, va="top", color=PAPER, weight="bold")
        top -= NOTICE_HEAD / whole
    figure.text(left, top, title, va="top", fontsize=14, weight="bold")
    figure.text(left, EDGE / whole, note, va="bottom", fontsize=SMALL, color=TEXT, linespacing=1.3)
    title = " ".join(filter(None, (notice, title)))
    for out in outs:
        write_bytes(out, _svg(figure, title, alt) if out.suffix == ".svg" else _png(figure, title, alt))


def _svg(figure: Figure, title: str, alt: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    svg = file.getvalue().decode()
    described = svg.replace("</title>", f"</title>\n <desc>{escape(alt)}</desc>", 1)
    return described.replace("<svg ", '<svg role="img" ', 1).encode()


def _png(figure: Figure, title: str, alt: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS, metadata={"Software": None, "Title": title, "Description": alt})
    return file.getvalue()


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
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
