"""VizWiz on its annotated validation split (column VizWiz): 4,319 questions that blind people asked of their photos.

The paper's number is on test, whose answers only the evaluation server has; val is the split that can be scored here.

Source: the VizWiz Python API, as far as copies of it were found; LLaVA's question file for test.

Files, in `vizwiz/`: `val.json`, a list of {image, question, answers: ten of {answer}, answer_type, answerable}; images
in `val/`. What is asked are its questions, by their place in the list, or, where there is one, those of a file made
like LLaVA's for test, `llava_val.jsonl` or `share4v_val.jsonl` {question_id, image, text}.

Prompt: question, then "When the provided information is insufficient, respond with 'Unanswerable'.", then "Answer the
question using a single word or phrase."; at most 128 new tokens, padded image.

Score: mean soft accuracy against the ten annotators, leaving each out in turn. By the route of the published numbers
the prediction is normalised twice: by LLaVA's script before the upload (m4c), then by the official scorer (as in
VQAv2). `score_raw` leaves the first out. The script stops at a missing prediction; here it is empty. Of a repeated one
the last counts. Standard error: sample standard deviation over the items.

Traps: the annotators' answers are not normalised, so an answer "Yes" or "two" of theirs can never be met. Annotators
are told apart by their place. Their file has no question ids; image names join.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import (
    SHORT_ANSWER,
    SINGLE_WORD,
    Answer,
    Item,
    Question,
    Score,
    annotator_agreement,
    percent_by,
    percent_score,
    sample_error,
)
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.normalise import m4c, vqa_v2
from sharegpt4v.evaluation.reading import (
    answer_rows,
    find,
    json_lines,
    json_list,
    question_number,
    require_some,
    short_questions,
)

ANNOTATIONS = "val.json"
UNANSWERABLE_PROMPT = "When the provided information is insufficient, respond with 'Unanswerable'."


def questions(data: Path) -> list[Question]:
    """Read the question file of the annotated split."""
    path, images = _question_file(data), data / "val"
    if path.suffix == ".jsonl":
        return short_questions(path, images, question_number)
    return [
        Question(
            number,
            row.image("image", images),
            "\n".join([row.text("question"), UNANSWERABLE_PROMPT, SINGLE_WORD]),
            SHORT_ANSWER,
        )
        for number, row in enumerate(json_list(path))
    ]


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score what LLaVA uploads by the official rule; `parts` holds the accuracy of each answer type."""
    return _score(data, answers, m4c)


def score_raw(data: Path, answers: Sequence[Answer]) -> Score:
    """Score the answers as they are by the official rule."""
    return replace(_score(data, answers, str), scorer="VizWiz API on raw answers")


def _score(data: Path, answers: Sequence[Answer], before_upload: Callable[[str], str]) -> Score:
    file = _question_file(data)
    rows = enumerate(json_list(file)) if file.suffix == ".json" else ((question_number(r), r) for r in json_lines(file))
    asked = {number: row.text("image") for number, row in rows}
    require_some(len(asked), file, "questions")
    joined = join(asked, answer_rows(answers), question_number)
    path = find(data, ANNOTATIONS)
    annotated = {row.text("image"): row for row in json_list(path)}
    items: list[Item] = []
    for identifier, image in asked.items():
        if image not in annotated:
            raise UserError(f"{path}: no annotation for image {image}; expected one for every question asked")
        row = annotated[image]
        truths = [answer.text("answer") for answer in row.rows("answers")]
        require_some(len(truths), path, f"answers for image {image}")
        prediction = vqa_v2(before_upload(joined.text(identifier) or ""))
        items.append(
            {
                "question_id": identifier,
                "answer_type": row.text("answer_type"),
                "prediction": prediction,
                "score": annotator_agreement(prediction, truths),
            }
        )
    parts = {"answer_type": percent_by((item["answer_type"], item["score"]) for item in items)}
    return percent_score("VizWiz", [item["score"] for item in items], items, parts, joined.completeness, sample_error)


def _question_file(data: Path) -> Path:
    return find(data, "share4v_val.jsonl", "llava_val.jsonl", ANNOTATIONS)
