"""The figure of the losses, from ``results/curves.csv``: a small panel per stage, and per pair of fine-tuned models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v.report.drawing import AFTER, GRID, PAPER, TEXT, Row, panels, read_table, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "The loss of every training"
NOTE = "Each point is the mean over 1 % of the steps. Trainings differ in length; fine-tunings have one scale."
COLORS = (AFTER, PAPER, "#8c8c8c", "#6baed6")
LINES = len(COLORS)  # in a panel
COLUMNS = 3
STAGES = {"aligned": "alignment", "captioner": "captioner", "pretrained": "pre-training"}
"""The panel of a training by the first word of its name; of others, models of the table, it is fine-tuning."""
FINETUNING = "fine-tuning"


def curves_figure(csv_path: Path, outs: Sequence[Path], notice: str = "") -> None:
    """Draw the table. `outs` end in .svg or .png."""
    rows = read_table(csv_path, ("percent",))
    grouped = grouped_by_panel([name for name in rows[0] if name != "percent"])
    lines = -(-len(grouped) // COLUMNS)
    tuned = [_largest(rows, names) for title, names in grouped if title.startswith(FINETUNING)]
    below_legend = 0.94 - 0.1 * max(len(names) for _, names in grouped)  # of a panel's height
    with style():
        figure, grid = panels(2.9 * lines, lines, COLUMNS)
        for axes, (title, names) in zip(grid.flat, grouped, strict=False):
            _draw(axes, title, names, rows)
            axes.set_ylim(0, (max(tuned) if title.startswith(FINETUNING) else _largest(rows, names)) / below_legend)
        for axes in grid.flat[len(grouped) :]:
            axes.set_axis_off()
        save(figure, outs, TITLE, _alt(rows, grouped), notice, NOTE)


def grouped_by_panel(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return the title of each panel and the trainings in it, at most `LINES`, in the order of the pipeline.

    Models whose names are equal up to a `+` are a pair, and have a panel of their own.
    """
    stems = [name.partition("+")[0] for name in names]
    found: dict[str, list[str]] = {title: [] for title in STAGES.values()}
    for name, stem in zip(names, stems, strict=True):
        tuned = f"{FINETUNING}: {stem}" if stems.count(stem) > 1 else FINETUNING
        found.setdefault(STAGES.get(name.split()[0], tuned), []).append(name)
    return [
        (title, members[first : first + LINES])
        for title, members in found.items()
        for first in range(0, len(members), LINES)
    ]


def _draw(axes: Axes, title: str, names: Sequence[str], rows: Sequence[Row]) -> None:
    percents = [float(row["percent"]) for row in rows]
    for name, color in zip(names, COLORS, strict=False):
        first, _, size = name.partition(" ")
        label = size if first in STAGES and size else name
        axes.plot(percents, [float(row[name]) for row in rows], color=color, linewidth=1.8, label=label)
    axes.set_title(title)
    axes.set_xlabel("% of the training")
    axes.set_ylabel("loss", color=TEXT)
    axes.set_xlim(0, 100)
    axes.grid(color=GRID, linewidth=0.8)
    axes.legend(loc="upper right")


def _largest(rows: Sequence[Row], names: Sequence[str]) -> float:
    return max(float(row[name]) for row in rows for name in names)


def _alt(rows: Sequence[Row], grouped: Sequence[tuple[str, Sequence[str]]]) -> str:
    """First and last loss of every training."""
    told = []
    for title, names in grouped:
        losses = (f"{name} from {float(rows[0][name]):.2f} to {float(rows[-1][name]):.2f}" for name in names)
        told.append(f"{title}: {', '.join(losses)}.")
    return " ".join(told)
