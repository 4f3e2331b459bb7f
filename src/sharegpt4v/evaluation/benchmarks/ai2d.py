"""AI2D, test (column AI2D): 3,088 multiple-choice questions on diagrams of schoolbooks.

Source: open-compass/VLMEvalKit (AI2D_TEST, where the labels that a question is about are masked by letters).

Files, in `ai2d/`: `AI2D_TEST.tsv` with the columns index, question, A, B, C, D, answer, image (base64), perhaps
category.

Prompt and score: see `choice_file`; at most 1,024 new tokens, padded image. Standard error: binomial.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.evaluation.base import Answer, Question, Score
from sharegpt4v.evaluation.benchmarks.choice_file import read_questions, score_rows
from sharegpt4v.evaluation.reading import find

TSV = "AI2D_TEST.tsv"


def questions(data: Path) -> list[Question]:
    """Read one question per row."""
    return read_questions(find(data, TSV))


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the letter that is read from an answer."""
    return score_rows(find(data, TSV), "AI2D", answers)
