"""Two sets of answers to the same questions: how many texts are equal, and the paired difference of their scores.

What the models find hard is hard for both, so the standard error of a difference is taken over the differences question
by question, as for the gains of the paper's Figure 2 (see `gains`): it is far smaller than that of either score.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharegpt4v.catalogues.benchmarks import Benchmark, benchmark_named, read_catalogue
from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.evaluation.base import Answer, error_of, mean
from sharegpt4v.evaluation.gains import paired_differences
from sharegpt4v.evaluation.joining import Limits
from sharegpt4v.evaluation.reading import Row, answer_file
from sharegpt4v.evaluation.scoring import score_of
from sharegpt4v.evaluation.sidecar import provenance_of
from sharegpt4v.terminal import plain_table

ASKED = ("question_id", "prompt", "img_path", "question")  # the last two in the rows of Q-Bench's own script
HEAD = ("column", "A", "B", "B - A", "units", "better", "worse")


@dataclass(frozen=True)
class Difference:
    """A column's score by A and by B, and the difference `b` - `a` with its paired standard error.

    All in the unit of the column. `units` is what the score is a mean over: questions, of MME images. `better` of them
    are worth more in B than in A, which is from wrong to right where nothing is in between, and `worse` less. `stderr`
    is None where there are fewer than two units.
    """

    a: float
    b: float
    difference: float
    stderr: float | None
    units: int
    better: int
    worse: int


@dataclass(frozen=True)
class Comparison:
    """Two answer files of one benchmark: `questions` that both answer, and how many of the texts are `equal`.

    `columns` is empty where there is no score, and `note` says why. `a` and `b` are the provenance of the files, as far
    as it is known.
    """

    benchmark: str
    a: dict[str, Any]
    b: dict[str, Any]
    questions: int
    equal: int
    columns: dict[str, Difference] = field(default_factory=dict)
    note: str = ""


def pairs_in(a: Path, b: Path, benchmark: str | None) -> list[tuple[Benchmark, Path, Path]]:
    """Return what can be compared in two answer files, or in two folders of them: every benchmark that both have.

    A file is of the benchmark that it is named by, unless `benchmark` says which. A `UserError` when there is nothing
    to compare.
    """
    for path in (a, b):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; expected an answer file there, or a folder of them")
    if a.is_dir() and b.is_dir():
        names = [benchmark_named(benchmark).name] if benchmark else list(read_catalogue())
        pairs = [(benchmark_named(name), a / f"{name}.jsonl", b / f"{name}.jsonl") for name in names]
        found = [pair for pair in pairs if pair[1].exists() and pair[2].exists()]
        if not found:
            raise UserError(f"{a} and {b}: no benchmark that both have; expected files such as gqa.jsonl in both")
        return found
    if a.is_dir() or b.is_dir():
        raise UserError(f"{a} and {b}: a file and a folder; expected two answer files, or two folders of them")
    if benchmark:
        return [(benchmark_named(benchmark), a, b)]
    if a.stem != b.stem:
        raise UserError(
            f"{a} and {b}: answers of {a.stem} and of {b.stem} by their names; expected one benchmark, or --benchmark"
        )
    if a.stem not in read_catalogue():
        raise UserError(f"{a}: named by no benchmark; say which it is by --benchmark, such as gqa")
    return [(benchmark_named(a.stem), a, b)]


def compare(entry: Benchmark, data: Path, a: Path, b: Path, limits: Limits, raw: bool = False) -> Comparison:
    """Compare two answer files of a benchmark whose official files are in the folder `data`.

    `limits` and `raw` are those of `scoring`. A `UserError` when they do not answer the same questions, and a
    `MissingFile` when one of them is empty because the benchmark's files were not at hand.
    """
    about = [provenance_of(file, "answers") for file in (a, b)]
    first, second = texts_of(a), texts_of(b)
    _refuse_other_questions(first, second, a, b)
    equal = sum(text == second[asked] for asked, text in first.items())
    columns: dict[str, Difference] = {}
    note = _why_unscored(entry)
    try:
        columns = {} if note else _scored(entry, data, a, b, limits, raw)
    except MissingFile as error:
        note = f"not scored: {entry.what_to_get(error)}"
    return Comparison(entry.name, about[0], about[1], len(first), equal, columns, note)


def texts_of(path: Path) -> dict[tuple[str, ...], str]:
    """Return the texts by what identifies the question, the last of several."""
    rows = [Row(row, f"{path}, row {number}") for number, row in enumerate(answer_file(path), start=1)]
    if not rows:
        raise UserError(f"{path}: no answers; expected one for each question")
    return {asked_of(row.values): row.text("response" if "response" in row.values else "text") for row in rows}


def asked_of(row: Answer) -> tuple[str, ...]:
    """Return what identifies the question that a row answers."""
    return tuple(str(row.get(name, "")) for name in ASKED)


def _refuse_other_questions(
    first: dict[tuple[str, ...], str], second: dict[tuple[str, ...], str], a: Path, b: Path
) -> None:
    for here, there, file, other in ((first, second, a, b), (second, first, b, a)):
        if only := [asked for asked in here if asked not in there]:
            shown = " ".join(only[0][:2]).strip()[:80]
            raise UserError(
                f"{file}: {len(only):,} of {len(here):,} questions are not in {other} (first: {shown!r}); expected "
                "answers to the same questions, asked by the same prompts"
            )


def _why_unscored(entry: Benchmark) -> str:
    return {
        "judge": f"a judge grades it: s4v judge {entry.name}, then s4v score",
        "server": "its server alone has the answers",
    }.get(entry.scoring, "")


def _scored(entry: Benchmark, data: Path, a: Path, b: Path, limits: Limits, raw: bool) -> dict[str, Difference]:
    rows = []
    for file in (a, b):
        try:
            score = score_of(entry, data, file, None, raw)
            limits.refuse(score.completeness)
        except MissingFile:
            raise
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
        rows.append(Row({"benchmark": entry.name, "columns": score.columns, "items": score.items}, str(file)))
    before, after = (row.values["columns"] for row in rows)
    return {
        column: _difference(before[column], after[column], groups)
        for column, groups in paired_differences(rows[:1], rows[1:]).items()
    }


def _difference(a: float, b: float, groups: Sequence[dict[Any, float]]) -> Difference:
    values = [value for group in groups for value in group.values()]
    difference = math.fsum(mean(list(group.values())) for group in groups)
    better, worse = sum(value > 0 for value in values), sum(value < 0 for value in values)
    return Difference(a, b, difference, error_of(groups), len(values), better, worse)


def compare_all(
    pairs: Sequence[tuple[Benchmark, Path, Path, Path]], limits: Limits, raw: bool = False
) -> list[Comparison]:
    """Compare each (benchmark, data folder, A, B); one that was not answered for want of its files is reported.

    A `UserError` when that leaves nothing.
    """
    found = []
    for entry, data, a, b in pairs:
        try:
            found.append(compare(entry, data, a, b, limits, raw))
        except MissingFile as error:
            print(f"{entry.name}: not compared; {error}", file=sys.stderr)
    if not found:
        raise UserError("nothing is compared: expected answers to at least one benchmark in both A and B")
    return found


def text_of(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons for a terminal: a line per benchmark and column; differences as `+1.5 ± 0.4`."""
    lines = [["benchmark", "equal texts", *HEAD]]
    notes = []
    for one in comparisons:
        texts = [one.benchmark, f"{one.equal:,}/{one.questions:,}"]
        for column, found in one.columns.items():
            lines.append([*texts, column, *_cells(found)])
            texts = ["", ""]
        if not one.columns:
            lines.append([*texts, *[""] * len(HEAD)])
        if one.note:
            notes.append(f"{one.benchmark}: {one.note}")
    return "\n".join([plain_table(lines, right=[1, *range(3, len(lines[0]))]), *notes])


def _cells(found: Difference) -> list[str]:
    error = "" if found.stderr is None else f" ± {found.stderr:.2f}"
    scores = [f"{found.a:.2f}", f"{found.b:.2f}", f"{found.difference:+.2f}{error}"]
    return [*scores, *(f"{count:,}" for count in (found.units, found.better, found.worse))]
