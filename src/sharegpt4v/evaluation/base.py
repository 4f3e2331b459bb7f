"""The types that all benchmark modules share: a question, an official answer row, a score with its standard error.

A benchmark module has two functions, both given the benchmark's own folder (for instance `data/eval/MME`):
`questions(data)` reads the official question files, `score(data, answers)` the official annotations. Where there is an
evaluation server, `submission(data, answers)` makes the file it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

Name = TypeVar("Name", int, str)

Answer = dict[str, Any]
"""One official answer row: `question_id`, `prompt`, `text`, `answer_id`, `model_id`, `metadata`, and extras."""

Item = dict[str, Any]
"""The verdict on one item of a benchmark."""

Contributions = dict[str, list[dict[Any, float]]]
"""By column: groups of units, by unit what it contributes. The means of the groups add up to the column's value."""

SINGLE_WORD = "Answer the question using a single word or phrase."
"""The last line of a prompt for a short answer."""

SHORT_ANSWER = 128
LONG_ANSWER = 1024
"""The two limits on new tokens in the paper's evaluation: short answers, and everything else."""


@dataclass(frozen=True)
class Question:
    """One question to a model.

    `prompt` is what is asked, without the `<image>` line. `stored_prompt` is what the answer row holds as
    `prompt` where the official script stores another text than it asks. `image` is a file, the bytes of one, or
    None for a question without an image. `image_aspect_ratio` says how the image becomes a square: "pad" fills
    up the short side, "square" crops the centre. `system` is the sentence the conversation begins with, None for
    the model's own. `extra` goes into the answer row as it is.
    """

    question_id: int | str
    image: Path | bytes | None
    prompt: str
    max_new_tokens: int
    image_aspect_ratio: Literal["pad", "square"] = "pad"
    stored_prompt: str | None = None
    system: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Completeness:
    """How many of the answers behind a column are as they should be; where a judge grades, also of its verdicts.

    `expected` answers are asked for. `missing` ones are not there, `repeated` ones come again for the same question,
    `unknown` ones are for no question of the benchmark. Of `verdicts` there are this many, `failed` ones unreadable.
    `first` names the first of each.
    """

    expected: int
    missing: int = 0
    repeated: int = 0
    unknown: int = 0
    verdicts: int = 0
    failed: int = 0
    first: dict[str, str] = field(default_factory=dict)

    @property
    def faults(self) -> dict[str, int]:
        """What is not as it should be, by name."""
        names = ("missing", "repeated", "unknown", "failed")
        return {name: count for name in names if (count := getattr(self, name))}

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.faults.items())

    def of_answers(self) -> str:
        """Say what the answers lack: `3 missing (first 7), 1 repeated (first 8) of 60 answers`."""
        told = (
            f"{count} {name}" + (f" (first: {self.first[name]})" if name in self.first else "")
            for name, count in self.faults.items()
            if name != "failed"
        )
        return f"{', '.join(told)} of {self.expected:,} answers"


@dataclass(frozen=True)
class Score:
    """What a set of answers is worth.

    `columns`, `n`, `stderr`, `interval` and `completeness` are keyed by the column of the results table: the unrounded
    value, the number of items it is a mean (or sum) over, and its standard error in the same unit. A standard error
    that cannot be estimated, for want of a second item, has no entry. A share of 0 or 100 % has a 95 % interval in its
    place. `parts` holds the finer scores of the official scorer, `items` one verdict per item: `question_id`,
    `prediction` as it was read, `answer`, `score` from 0 to 1. `scorer` names the rule where it is not the catalogue's.
    """

    columns: dict[str, float]
    n: dict[str, int]
    stderr: dict[str, float]
    completeness: dict[str, Completeness]
    parts: dict[str, Any]
    items: list[Item]
    interval: dict[str, tuple[float, float]] = field(default_factory=dict)
    scorer: str = ""


class Submission(NamedTuple):
    """The content of the file that an evaluation server takes, and how complete the answers in it are."""

    content: bytes
    completeness: Completeness


class BenchmarkModule(Protocol):
    """The functions of a benchmark module. One that no evaluation server takes has no `submission`.

    `contributions(items)`, which says what each unit that was drawn independently contributes to a column, has to be
    there where it is not simply 100 times the score of an item. `score_raw` scores answers without what LLaVA does to
    them before it uploads them, `score_folder` the folder of text files that an official tool scores.
    """

    def questions(self, data: Path) -> list[Question]:
        """Read the questions in their official order."""

    def score(self, data: Path, answers: Sequence[Answer]) -> Score:
        """Score answer rows by the official rule."""

    def submission(self, data: Path, answers: Sequence[Answer]) -> Submission:
        """Return the file that the evaluation server takes."""


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value."""
    return math.fsum(values) / len(values)


def binomial_error(values: Sequence[float]) -> float | None:
    """Return sqrt(p (1 - p) / n), the standard error of a share p of right answers; None for fewer than two."""
    if len(values) < 2:
        return None
    share = mean(values)
    return math.sqrt(share * (1 - share) / len(values))


def sample_error(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation over sqrt(n), the standard error of a mean; None for fewer than two."""
    if len(values) < 2:
        return None
    centre = mean(values)
    variance = math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values))


def error_of(groups: Sequence[dict[Any, float]]) -> float | None:
    """Return the standard error of a sum of means; None when a group has fewer than two units."""
    errors = [sample_error(list(group.values())) for group in groups]
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if len(known) == len(errors) else None


def interval_at_the_ends(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % Wilson interval, in percent, where all values are 0 or all are 1; None anywhere else.

    There the spread of the values is 0, which says nothing about the error of their mean.
    """
    if len(set(values)) != 1 or values[0] not in (0, 1):
        return None
    from scipy.stats import binomtest

    interval = binomtest(int(values[0]) * len(values), len(values)).proportion_ci(method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def percent_score(
    column: str,
    values: Sequence[float],
    items: list[Item],
    parts: dict[str, Any],
    completeness: Completeness,
    error: Callable[[Sequence[float]], float | None] = binomial_error,
) -> Score:
    """Return the score of a column that is 100 times the mean of `values` (each 0 to 1)."""
    interval, standard_error = interval_at_the_ends(values), error(values)
    return Score(
        columns={column: 100 * mean(values)},
        n={column: len(values)},
        stderr={} if interval or standard_error is None else {column: 100 * standard_error},
        completeness={column: completeness},
        parts=parts,
        items=items,
        interval={column: interval} if interval else {},
    )


def annotator_agreement(prediction: str, answers: Sequence[str]) -> float:
    """Return the soft accuracy, 0 to 1, of a prediction against the answers of (usually ten) annotators.

    For each annotator in turn: min(1, equal answers among the others / 3); the mean of that. With ten annotators
    and 0, 1, 2, 3, 4 or more equal answers this is 0, 0.3, 0.6, 0.9, 1 (the rule of VQAv2, VizWiz and TextVQA).
    """
    equal = sum(answer == prediction for answer in answers)
    others = len(answers) - equal
    return (equal * min(3, equal - 1) + others * min(3, equal)) / (3 * len(answers))


def percent_by(items: Iterable[tuple[Name, float]]) -> dict[str, float]:
    """Return 100 times the mean score for each name (texts or numbers), in their order."""
    groups: dict[Name, list[float]] = {}
    for name, value in items:
        groups.setdefault(name, []).append(value)
    return {str(name): 100 * mean(groups[name]) for name in sorted(groups)}
