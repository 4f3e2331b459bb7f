"""MMStar without its images (column MMStar-text): what a model answers that does not see what it is asked about.

Source, file, prompt and score: as for `mmstar`, whose official code asks this with `--gen-mode to`; golden numbers too.
The difference of the two is the multi-modal gain; where the language model alone was asked as well, its score is what
the leakage is measured against (see `evaluation.leakage`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.evaluation.base import Answer, Question, Score
from sharegpt4v.evaluation.benchmarks import mmstar


def questions(data: Path) -> list[Question]:
    """Read one question per row."""
    return mmstar.questions(data, with_images=False)


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the letter, as MMStar."""
    return mmstar.score(data, answers, "MMStar-text")
