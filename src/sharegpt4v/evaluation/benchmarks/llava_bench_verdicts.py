"""The judge's verdicts on LLaVA-Bench: how a reply is read, and the two kinds of file that hold replies.

Source: haotian-liu/LLaVA, eval_gpt_review_bench.py (`parse_score` and its review file).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.reading import Row, json_lines, question_id
from sharegpt4v.files import read_json, read_text

FAILED = (-1.0, -1.0)
LARGEST = 1000.0  # the judge is asked for numbers from 1 to 10; beyond this, one reply would be the whole mean

Pair = tuple[float, float]
"""The judge's numbers for reference and answer."""


def read_pair(reply: str) -> Pair | None:
    """Read the two numbers of a reply; None for a failed verdict."""
    pieces = reply.split("\n")[0].replace(",", " ").split(" ")
    try:
        first, second = (float(piece) for piece in pieces)
    except ValueError:
        return None
    return _usable(first, second)


def _usable(first: float, second: float) -> Pair | None:
    return (first, second) if abs(first) <= LARGEST and abs(second) <= LARGEST else None  # nan is not


def read_replies(path: Path) -> Any:
    """Read a replies file, or the review file of the official script."""
    if read_text(path, "a file of judge's replies").lstrip().startswith("{"):
        return [row.values for row in json_lines(path)]
    return read_json(path)


def verdicts_of(asked: Sequence[Row], replies: Any) -> list[list[Pair | None]]:
    """Return the verdicts of all runs on each question."""
    if not isinstance(replies, list):
        raise UserError("judge's replies: expected a JSON list, or the review file of the official script")
    if len(replies) != len(asked):
        raise UserError(f"judge's replies: {len(replies)} for {len(asked)} questions; expected one for each, in order")
    if all(isinstance(reply, dict) for reply in replies):
        reviews = [Row.of(reply, f"judge's replies, row {number}") for number, reply in enumerate(replies, start=1)]
        require_pairs(asked, reviews, "judge's replies")
        return [[_reviewed(review)] for review in reviews]
    runs = [[reply] if isinstance(reply, str) else reply for reply in replies]
    for number, of_question in enumerate(runs, start=1):
        if not isinstance(of_question, list) or not all(isinstance(reply, str) for reply in of_question):
            raise UserError(f"judge's replies, question {number}: expected a text, or a list with one for each run")
        if not of_question or len(of_question) != len(runs[0]):
            raise UserError(f"judge's replies, question {number}: {len(of_question)} runs; expected as many for all")
    return [[read_pair(reply) for reply in of_question] for of_question in runs]


def _reviewed(review: Row) -> Pair | None:
    """Return the verdict that the official script has read out of a reply."""
    pair = review.sequence("tuple")
    if len(pair) != 2 or not all(isinstance(number, int | float) for number in pair):
        raise UserError(f"{review.where}, field 'tuple': {pair}; expected two numbers")
    try:
        first, second = map(float, pair)
    except OverflowError:
        return None
    return None if (first, second) == FAILED else _usable(first, second)


def require_pairs(asked: Sequence[Row], rows: Sequence[Row], what: str) -> None:
    """Refuse rows that do not belong to the questions line by line."""
    if len(rows) != len(asked):
        raise UserError(f"{what}: {len(rows)} rows for {len(asked)} questions; expected one for each, in their order")
    for question, row in zip(asked, rows, strict=True):
        if question_id(row) != question_id(question):
            raise UserError(
                f"{row.where}: question_id {question_id(row)!r}; expected {question_id(question)!r}, as rows belong to "
                "the questions line by line"
            )
