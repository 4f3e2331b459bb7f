"""RealWorldQA (column RealWorldQA): 765 questions on photographs, many of them from vehicles, all with options.

Source: open-compass/VLMEvalKit (RealWorldQA), which gives options to the questions that xAI asks without.

Files, in `realworldqa/`: `RealWorldQA.tsv` with the columns index, question, A, B and so on, answer, image (base64).

Prompt and score: see `choice_file`; at most 1,024 new tokens, padded image. Standard error: binomial.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.evaluation.base import Answer, Question, Score
from sharegpt4v.evaluation.benchmarks.choice_file import read_questions, score_rows
from sharegpt4v.evaluation.reading import find

TSV = "RealWorldQA.tsv"


def questions(data: Path) -> list[Question]:
    """Read one question per row."""
    return read_questions(find(data, TSV))


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the letter that is read from an answer."""
    return score_rows(find(data, TSV), "RealWorldQA", answers)
