"""SEED-Bench, image part (column SEED-image): 14,233 questions with four choices in nine dimensions.

Source: AILab-CVC/SEED-Bench; LLaVA's and ShareGPT4V's convert_seed_for_submission.py.

Files, in `seed_bench/`: `share4v-seed-bench-image.jsonl` (image part) or `llava-seed-bench.jsonl` (with video, left
out here) {question_id, image, text}; `SEED-Bench.json` {questions: [{question_id, question_type_id, data_type,
answer A-D, ...}], question_type: {name: id}}; images in `SEED-Bench-image/`.

Prompt: question, the four choices as "A. ...", then "Answer with the option's letter from the given choices
directly."; at most 128 new tokens, padded image.

Score: share of answers that are exactly the letter, over all annotated image questions: a missing prediction is
wrong, "A." and "a" are wrong. Standard error: binomial.

Traps: ids are texts in the annotations and numbers in the question file; both sides are read as numbers where they
can be. LLaVA's script stops at a dimension without a right answer; here it scores 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import (
    SHORT_ANSWER,
    Answer,
    Item,
    Question,
    Score,
    Submission,
    percent_by,
    percent_score,
)
from sharegpt4v.evaluation.joining import Joined, join
from sharegpt4v.evaluation.reading import Row, answer_rows, find, json_lines, json_object, json_text, require_some

IMAGES = "SEED-Bench-image"


def questions(data: Path) -> list[Question]:
    """Read the question file; video questions, whose ids begin with "v", are left out."""
    return [
        Question(row.identifier("question_id"), _image(data, row), row.text("text"), SHORT_ANSWER)
        for row in json_lines(find(data, "share4v-seed-bench-image.jsonl", "llava-seed-bench.jsonl"))
        if not str(row.identifier("question_id")).startswith("v")
    ]


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by exact letter; `parts` holds the accuracy of each dimension."""
    path = find(data, "SEED-Bench.json")
    annotation = json_object(path)
    types = annotation.row("question_type")
    dimensions = {types.integer(name): name for name in types.values}
    asked = list(annotation.rows("questions"))
    joined = _joined(asked, answers)
    items: list[Item] = []
    for question in asked:
        if not _has_image(question):
            continue
        number = question.integer("question_type_id")
        if number not in dimensions:
            raise UserError(f"{question.where}: question_type_id {number}; expected one of question_type's ids")
        prediction = joined.text(_id(question))
        items.append(
            {
                "question_id": question.identifier("question_id"),
                "dimension": dimensions[number],
                "prediction": prediction,
                "answer": question.text("answer"),
                "score": float(prediction == question.text("answer")),
            }
        )
    require_some(len(items), path, "questions of data_type image")
    parts = {"dimensions": percent_by((item["dimension"], item["score"]) for item in items)}
    return percent_score("SEED-image", [item["score"] for item in items], items, parts, joined.completeness)


def submission(data: Path, answers: Sequence[Answer]) -> Submission:
    """Return the leaderboard's JSON lines of {question_id, prediction}, in the order of the annotations."""
    asked = list(json_object(find(data, "SEED-Bench.json")).rows("questions"))
    joined = _joined(asked, answers)
    rows = [
        {"question_id": str(question.identifier("question_id")), "prediction": joined.text(_id(question))}
        for question in asked
        if _id(question) in joined.rows
    ]
    return Submission(b"".join(json_text(row) + b"\n" for row in rows), joined.completeness)


def _joined(asked: Sequence[Row], answers: Sequence[Answer]) -> Joined[int | str]:
    """Return the answers by question; a question about a video needs none."""
    with_image = [_id(question) for question in asked if _has_image(question)]
    return join(with_image, answer_rows(answers), _id, {_id(question) for question in asked})


def _has_image(question: Row) -> bool:
    return question.text("data_type") == "image"


def _image(data: Path, row: Row) -> Path:
    return row.image("image", data if row.text("image").startswith(f"{IMAGES}/") else data / IMAGES)


def _id(row: Row) -> int | str:
    value = row.identifier("question_id")
    try:
        return int(value)
    except ValueError:
        return value
