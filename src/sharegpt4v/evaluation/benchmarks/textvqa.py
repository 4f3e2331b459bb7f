"""TextVQA, validation 0.5.1 with OCR tokens in the prompt (column TextVQA): 5,000 questions on 3,166 images.

Source: LLaVA's and ShareGPT4V's eval_textvqa.py and m4c_evaluator.py.

Files, in `textvqa/`: `llava_textvqa_val_v051_ocr.jsonl` or `share4v_textvqa_val_v051_ocr.jsonl` {question_id: the
image's id, image, text}; `TextVQA_0.5.1_val.json` {data: [{image_id, question, answers: ten texts}]}; images in
`train_images/`.

Prompt: question, "Reference OCR token: " with the tokens (perhaps none), then "Answer the question using a single
word or phrase."; at most 128 new tokens, padded image.

Score: mean soft accuracy against the ten annotators, everything normalised, over the answer rows given, as in the
official scorer: a missing answer does not count, a repeated one counts twice. Standard error: sample standard
deviation.

Traps: `question_id` is not unique, so an answer is joined by image and question, the question being read back from
the stored prompt. The official scorer stops at an answer that cannot be joined; here it is unknown and left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import (
    Answer,
    Item,
    Question,
    Score,
    annotator_agreement,
    percent_score,
    sample_error,
)
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.normalise import m4c
from sharegpt4v.evaluation.reading import Row, answer_rows, find, json_object, short_questions

ANNOTATIONS = "TextVQA_0.5.1_val.json"


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    path = find(data, "share4v_textvqa_val_v051_ocr.jsonl", "llava_textvqa_val_v051_ocr.jsonl")
    return short_questions(path, data / "train_images")


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the official rule."""
    path = find(data, ANNOTATIONS)
    questions = [
        ((row.text("image_id"), row.text("question").lower()), _ten_answers(row))
        for row in json_object(path).rows("data")
    ]
    annotated, rows = dict(questions), answer_rows(answers)
    joined = join([key for key, _ in questions], rows, _key)
    items: list[Item] = []
    for row in rows:
        key = _key(row)
        if key not in annotated:
            continue
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
        raise UserError(f"TextVQA: no answer to a question of {path}; expected one for each")
    values = [item["score"] for item in items]
    return percent_score("TextVQA", values, items, {}, joined.completeness, sample_error)


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


def _key(row: Row) -> tuple[str, str]:
    return str(row.identifier("question_id")), question_of(row)


def _ten_answers(row: Row) -> list[str]:
    answers = row.texts("answers")
    if len(answers) != 10:
        raise UserError(f"{row.where}, field 'answers': {len(answers)} answers; expected ten")
    return answers
