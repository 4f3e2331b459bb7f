"""What better captions do by themselves: before, after and gain of each pair of models (paper, Figure 2).

The two models of a pair answered the same questions, so the standard error of a gain is taken over the differences
question by question: what is hard for one is hard for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.evaluation.base import Contributions, Item, error_of
from sharegpt4v.evaluation.expected import direction
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.evaluation.reading import Row
from sharegpt4v.evaluation.table import COLUMNS, cells_of, read_paper, read_scores
from sharegpt4v.files import write_csv, write_text
from sharegpt4v.pages import in_markdown

LARGEST = {"MME-perception": 2000.0, "MME-cognition": 800.0}  # every other column ends at 100
FIELDS = ["model", "benchmark", "before", "after", "gain", "paper_before", "paper_after", "paper_gain"]


@dataclass(frozen=True)
class Pair:
    """A substitution experiment: `model` is its name in the paper's Figure 2, the others are models of the table."""

    model: str
    before: str
    after: str


def write_substitution(
    pairs: Sequence[Pair], scores: Path, paper_csv: Path, out_csv: Path, notice: str = "", expected: str = ""
) -> None:
    """Write before, after and gain of every column that both models of a pair have, with the paper's numbers.

    `paper_csv` is long: model, benchmark, before, after; what it does not give stays empty. Gains are differences of
    the printed numbers, so that every row adds up. Beside `out_csv` the standard errors of the gains go into
    `..._errors.csv`, and all of it as a page to read into `....md`. With a `notice`, the first line of that page, no
    number of the paper is written: the page says in its next line which direction is `expected`, and marks each gain.
    """
    rows = read_paper(paper_csv, ["model", "benchmark", "before", "after"])
    paper = {(row["model"], row["benchmark"]): (row["before"], row["after"]) for row in rows}
    lines: list[list[str]] = []
    errors: list[list[str]] = []
    for pair in pairs:
        scores_before, scores_after = read_scores(scores, pair.before), read_scores(scores, pair.after)
        before, after = cells_of(scores_before), cells_of(scores_after)
        found = gain_errors(scores_before, scores_after)
        for column in COLUMNS:
            if column in before and column in after:
                ours = _with_gain(f"{before[column].value:.1f}", f"{after[column].value:.1f}")
                theirs = _with_gain(*paper.get((pair.model, column), ("", "")))
                lines.append([pair.model, column, *ours, *(("", "", "") if notice else theirs)])
                errors.append([pair.model, column, f"{found[column]:.1f}" if column in found else ""])
    write_csv(out_csv, [FIELDS, *lines])
    write_csv(errors_file(out_csv), [["model", "benchmark", "gain_stderr"], *errors])
    page = _page(lines, [error for _, _, error in errors], marked=bool(notice))
    head = [line for line in (notice, in_markdown(expected) if notice else "") if line]
    write_text(out_csv.with_suffix(".md"), "\n\n".join([*head, page]))


def percent_of_largest(column: str) -> float:
    """Return the factor from a score of a column to percent of the largest possible one."""
    return 100.0 / LARGEST.get(column, 100.0)


def errors_file(out_csv: Path) -> Path:
    """The path of the standard errors of the gains in `out_csv`."""
    return out_csv.with_name(f"{out_csv.stem}_errors.csv")


def _with_gain(before: str, after: str) -> list[str]:
    return [before, after, f"{Decimal(after) - Decimal(before):.1f}" if before and after else ""]


def _page(lines: Sequence[Sequence[str]], errors: Sequence[str], marked: bool) -> str:
    """The table to read; its last column is the paper's gain, or whether ours has the direction that is expected."""
    last = "direction" if marked else "gain in the paper"
    table = [f"| model | column | before | after | gain | {last} |", "|---|---|---:|---:|---:|---:|"]
    for (model, column, before, after, gain, *_, theirs), error in zip(lines, errors, strict=True):
        shown = f"{float(gain):+.1f}" + (f" ± {error}" if error else "")
        shown = f"**{shown}**" if error and abs(float(gain)) > 2 * float(error) else shown
        compared = direction(float(gain)) if marked else f"{float(theirs):+.1f}" if theirs else ""
        table.append(f"| {in_markdown(model)} | {column} | {before} | {after} | {shown} | {compared} |")
    note = "Each gain is followed by its standard error, taken over the differences question by question; a **gain** in"
    return "\n".join([*table, "", f"{note} bold is outside two of them.", ""])


def gain_errors(before: Sequence[Row], after: Sequence[Row]) -> dict[str, float]:
    """Return the standard error of the gain by column, from the score files of two models.

    A column has no entry where the two were not scored on the same questions, or on fewer than two.
    """
    errors = {column: error_of(groups) for column, groups in paired_differences(before, after).items()}
    return {column: error for column, error in errors.items() if error is not None}


def paired_differences(before: Sequence[Row], after: Sequence[Row]) -> Contributions:
    """Return by column what each unit contributes to `after` less what it contributes to `before`, from score files.

    A column has no entry where the two were not scored on the same questions.
    """
    earlier, later = _contributions(before), _contributions(after)
    found = {column: _differences(groups, later.get(column, [])) for column, groups in earlier.items()}
    return {column: groups for column, groups in found.items() if groups is not None}


def _contributions(scores: Sequence[Row]) -> Contributions:
    found: Contributions = {}
    for row in scores:
        if items := row.sequence("items"):
            module = module_of(benchmark_named(row.text("benchmark")))
            of_module = getattr(module, "contributions", None)
            found |= of_module(items) if of_module else {name: [_percents(items)] for name in row.row("columns").values}
    return found


def _percents(items: Sequence[Item]) -> dict[Any, float]:
    return {(item["question_id"], item.get("question")): 100 * item["score"] for item in items}


def _differences(
    before: Sequence[dict[Any, float]], after: Sequence[dict[Any, float]]
) -> list[dict[Any, float]] | None:
    if [group.keys() for group in before] != [group.keys() for group in after]:
        return None
    return [
        {unit: later[unit] - value for unit, value in earlier.items()}
        for earlier, later in zip(before, after, strict=True)
    ]
