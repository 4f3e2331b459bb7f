"""TextVQA, validation 0.5.1 with OCR tokens in the prompt (column TextVQA): 5,000 questions on 3,166 images.

Source: LLaVA's and ShareGPT4V's eval_textvqa.py and m4c_evaluator.py.

Files, in `textvqa/`: `llava_textvqa_val_v051_ocr.jsonl` or `share4v_textvqa_val_v051_ocr.jsonl` {question_id: the
image's id, image, text}; `TextVQA_0.5.1_val.json` {data: [{image_id, question, answers: ten texts}]}; images in
`train_images/`.

Prompt: question, "Reference OCR token: " with the tokens (perhaps none), then "Answer the question using a single
word or phrase."; at most 128 new tokens, padded image.

Score: mean soft accuracy against the ten annotators, everything normalised, over the answer rows given, as in the
official scorer; `parts` says how many annotated questions have none. Standard error: sample standard deviation.

Traps: `question_id` is not unique, so an answer is joined by image and question, the question being read back from
the stored prompt. An answer that cannot be joined is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.benchmarks.base import (
    Answer,
    Item,
    Question,
    Score,
    annotator_agreement,
    percent_score,
    sample_error,
)
from sharegpt4v.benchmarks.normalise import m4c
from sharegpt4v.benchmarks.reading import Row, answer_rows, find, json_object, short_questions
from sharegpt4v.errors import UserError

ANNOTATIONS = "TextVQA_0.5.1_val.json"


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    path = find(data, "share4v_textvqa_val_v051_ocr.jsonl", "llava_textvqa_val_v051_ocr.jsonl")
    return short_questions(path, data / "train_images")


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the official rule."""
    path = find(data, ANNOTATIONS)
    annotated = {
        (row.text("image_id"), row.text("question").lower()): _ten_answers(row)
        for row in json_object(path).rows("data")
    }
    items: list[Item] = []
    asked = set()
    for row in answer_rows(answers):
        key = (str(row.identifier("question_id")), question_of(row))
        if key not in annotated:
            raise UserError(
                f"{row.where}: no question {key[1]!r} on image {key[0]} in {path}; expected an annotated one"
            )
        asked.add(key)
        prediction = m4c(row.text("text"))
        items.append(
            {
                "question_id": key[0],
                "question": key[1],
                "prediction": prediction,
                "score": annotator_agreement(prediction, [m4c(answer) for answer in annotated[key]]),
            }
        )
    if not items:
        raise UserError("TextVQA: no answer rows; expected one for each question")
    parts = {"missing": len(annotated) - len(asked)}
    return percent_score("TextVQA", [item["score"] for item in items], items, parts, sample_error)


def question_of(row: Row) -> str:
    """Read the question, in lower case, back from a stored prompt."""
    prompt = row.text("prompt")
    lines = prompt.split("\n")
    if prompt.startswith("OCR tokens: "):
        match = re.search(r"Question: (.*?) Short answer:", prompt, re.DOTALL)
        question = match.group(1) if match else None
    elif "Reference OCR token: " in prompt and len(lines) == 3:
        question = lines[1] if prompt.startswith("Reference OCR token:") else lines[0]
    else:
        question = lines[0] if len(lines) == 2 else None
    if question is None:
        raise UserError(f"{row.where}, field 'prompt': {len(lines)} lines; expected question, OCR tokens, instruction")
    return question.lower()


def _ten_answers(row: Row) -> list[str]:
    answers = row.texts("answers")
    if len(answers) != 10:
        raise UserError(f"{row.where}, field 'answers': {len(answers)} answers; expected ten")
    return answers
