"""The figure of the ablations (paper tables 4 to 6, figure 6), from ``results/ablations.csv``: panels of each study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v.config.ablations import Ablation
from sharegpt4v.report.drawing import (
    AFTER,
    BEFORE,
    GRID,
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
from sharegpt4v.report.tables import read_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Ablations: what each part of the method adds"
ERRORS = "Lines reach two standard errors to each side, those of the questions."
NOTE = "Scales differ from panel to panel. The thin line is the score of the first row."
EXPECTED = "An arrow is the direction expected, from the first row: the paper's."
ARROWS = {"up": "↑ ", "down": "↓ ", "": ""}
LINE, LABEL_LINE, AROUND, CURVE = 0.3, 0.16, 1.15, 3.0  # inches: a row, a second line of it, around rows, a curve
BETWEEN = 0.12  # inches above and below each panel
LINE_END = "\n"
THOUSANDS = 20_000
"""With more captions, an axis counts them in thousands."""

Lines = Mapping[tuple[str, str], Sequence[Row]]
"""The rows of the table by study and column, in the order of the variants."""


def ablations_figure(
    studies: Mapping[str, Ablation],
    csv_path: Path,
    memory_csv: Path | None,
    outs: Sequence[Path],
    notice: str = "",
    errors: str = ERRORS,
) -> None:
    """Draw the studies that the table has, each as a line of panels, one per column; `outs` end in .svg or .png.

    The paper's scores are drawn where the table has them, and the peak memory where `memory_csv`, if given, has it.
    `errors` says below what the error lines are.
    """
    lines, columns = _read(csv_path)
    drawn = {name: study for name, study in studies.items() if any(name == study_name for study_name, _ in lines)}
    memory = _memory(memory_csv)
    heights = [_height(study, lines, name, columns) for name, study in drawn.items()]
    with style():
        figure, grid = panels(sum(heights), len(drawn), len(columns), height_ratios=heights)
        for axes_of_study, (name, study) in zip(grid, drawn.items(), strict=True):
            for number, (axes, column) in enumerate(zip(axes_of_study, columns, strict=True)):
                rows = lines.get((name, column))
                if rows is None:
                    axes.set_axis_off()
                elif study.draw == "curve" and all(row["captions"] for row in rows):
                    _draw_curve(axes, sorted(rows, key=lambda row: float(row["captions"])), legend=number == 0)
                    axes.set_ylabel(column)
                else:  # the number of captions may be unknown
                    names = [_label(row, memory.get((name, row["variant"]))) for row in rows]
                    _draw_rows(axes, rows, [] if number else names, legend=number == 0)
                    axes.set_xlabel(column)
            axes_of_study[0].set_title(study.title, pad=24 if axes_of_study[0].get_legend() else 8)
        engine: Any = figure.get_layout_engine()
        engine.set(h_pad=BETWEEN)
        note = f"{errors}\n{NOTE} {EXPECTED}" if notice else f"{errors}\n{NOTE}"
        save(figure, outs, TITLE, _alt(drawn, lines, memory), notice, note)


def _read(csv_path: Path) -> tuple[Lines, list[str]]:
    found: dict[tuple[str, str], list[Row]] = {}
    fields = ("ablation", "variant", "captions", "column", "score", "stderr", "paper", "expected")
    for row in read_table(csv_path, fields):
        found.setdefault((row["ablation"], row["column"]), []).append(row)
    return found, list(dict.fromkeys(column for _, column in found))


def _memory(memory_csv: Path | None) -> dict[tuple[str, str], Row]:
    rows = read_csv(memory_csv) if memory_csv else []
    return {(row["ablation"], row["variant"]): row for row in rows}


def _height(study: Ablation, lines: Lines, name: str, columns: Sequence[str]) -> float:
    count = max(len(lines.get((name, column), ())) for column in columns)
    line = LINE + LABEL_LINE * study.memory
    return CURVE if study.draw == "curve" else line * count + AROUND


def _label(row: Row, memory: Row | None) -> str:
    """The name of a variant, with its peak memory and the paper's."""
    if not memory or not (memory["peak_memory_gb"] or memory["paper"]):
        return row["variant"]
    paper = f" (paper: {memory['paper']})" if memory["paper"] else ""
    return f"{row['variant']}\n{memory['peak_memory_gb'] or '?'} GB{paper}"


def _draw_rows(axes: Axes, rows: Sequence[Row], names: Sequence[str], legend: bool) -> None:
    """A disc on its error line per variant, the paper's score as a diamond; the score at the right."""
    places = list(range(len(rows)))
    name_rows(axes, names or [""] * len(rows))
    scores = [float(row["score"]) for row in rows]
    axes.axvline(scores[0], color=TEXT, linewidth=0.8)
    axes.errorbar(scores, places, xerr=_errors(rows), fmt="none", ecolor=BEFORE, elinewidth=4, zorder=1)
    axes.plot(scores, places, "o", color=AFTER, markersize=7, label="score")
    theirs = [(float(row["paper"]), place) for place, row in zip(places, rows, strict=True) if row["paper"]]
    _draw_paper(axes, theirs, "D")
    for place, row in zip(places, rows, strict=True):
        text = ARROWS[row["expected"] if not row["paper"] else ""] + _score(row)
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL, color=TEXT)
    if legend and theirs:
        legend_above(axes, 2)


def _draw_curve(axes: Axes, rows: Sequence[Row], legend: bool) -> None:
    """The scores over the number of captions, and the paper's."""
    captions, scores = [float(row["captions"]) for row in rows], [float(row["score"]) for row in rows]
    axes.errorbar(captions, scores, yerr=_errors(rows), fmt="none", ecolor=BEFORE, elinewidth=4, zorder=1)
    axes.plot(captions, scores, "o-", color=AFTER, markersize=6, linewidth=1.4, label="score")
    theirs = [(float(row["captions"]), float(row["paper"])) for row in rows if row["paper"]]
    _draw_paper(axes, theirs, "D--")
    axes.set_xlim(left=-0.03 * max(captions))
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    many = max(captions) > THOUSANDS
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:,.0f}K" if many and x else f"{x:,.0f}")
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel("captions of pre-training")
    if legend and theirs:
        legend_above(axes, 2)


def _draw_paper(axes: Axes, points: Sequence[tuple[float, float]], marks: str) -> None:
    if points:
        axes.plot(
            *zip(*points, strict=True), marks, color=PAPER, markersize=7, markerfacecolor="none", markeredgewidth=1.6,
            linewidth=1, label="in the paper",
        )  # fmt: skip


def _errors(rows: Sequence[Row]) -> list[float]:
    return [2 * float(row["stderr"] or 0) for row in rows]


def _score(row: Row) -> str:
    return row["score"] + (f" ± {row['stderr']}" if row["stderr"] else "")


def _alt(drawn: Mapping[str, Ablation], lines: Lines, memory: Mapping[tuple[str, str], Row]) -> str:
    """All numbers of the figure in words."""
    told = []
    for (name, column), rows in lines.items():
        if name not in drawn:
            continue
        parts = [
            f"{_label(row, memory.get((name, row['variant']))).replace(LINE_END, ', ')} {_score(row)}"
            + (f" (in the paper {row['paper']})" if row["paper"] else "")
            for row in rows
        ]
        told.append(f"{drawn[name].title}, {column}: {', '.join(parts)}.")
    return " ".join(told)
