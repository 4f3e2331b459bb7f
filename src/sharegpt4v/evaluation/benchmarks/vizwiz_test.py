"""VizWiz on its test split: the file for the evaluation server (the paper's column VizWiz), which has the answers.

Source: LLaVA's question file and convert_vizwiz_for_submission.py.

Files, in `vizwiz/`: `llava_test.jsonl` or `share4v_test.jsonl` {question_id, image, text}, 8,000 questions; images in
`test/`.

Prompt: question, then "When the provided information is insufficient, respond with 'Unanswerable'.", then "Answer the
question using a single word or phrase."; at most 128 new tokens, padded image.

Submission: a JSON list of {image, answer} in the order of the questions, normalised by the rules of m4c. LLaVA's script
stops at a missing prediction; here its answer is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.evaluation.base import Answer, Question, Submission
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.normalise import m4c
from sharegpt4v.evaluation.reading import (
    answer_rows,
    find,
    json_lines,
    json_text,
    question_number,
    short_questions,
)


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    return short_questions(_file(data), data / "test", question_number)


def submission(data: Path, answers: Sequence[Answer]) -> Submission:
    """Return the file for the server."""
    images = {question_number(row): row.text("image") for row in json_lines(_file(data))}
    joined = join(images, answer_rows(answers), question_number)
    rows = [{"image": image, "answer": m4c(joined.text(number) or "")} for number, image in images.items()]
    return Submission(json_text(rows), joined.completeness)


def _file(data: Path) -> Path:
    return find(data, "share4v_test.jsonl", "llava_test.jsonl")
