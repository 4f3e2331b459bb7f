"""VQAv2 on its annotated validation split (column VQA-v2).

The paper's number is on test-dev2015, whose answers only the evaluation server has; val2014 is the split that can be
scored here.

Source: GT-Vision-Lab/VQA (vqaEval.py); LLaVA's question files and convert_vqav2_for_submission.py.

Files, in `vqav2/`: `v2_OpenEnded_mscoco_val2014_questions.json` {questions: [{question_id, image_id, question}]} says
what is asked, or before it, where there is one, a file of LLaVA's form, `llava_vqav2_mscoco_val2014.jsonl` or
`share4v_vqav2_mscoco_val2014.jsonl` {question_id, image, text}; `v2_mscoco_val2014_annotations.json` {annotations:
[{question_id, question_type, answer_type, answers: ten of {answer}}]}; images in `val2014/`.

Prompt: question, then "Answer the question using a single word or phrase."; at most 128 new tokens, padded image.

Score: mean soft accuracy against the ten annotators, leaving each out in turn. By the route of the published numbers
LLaVA's script normalises the prediction before the upload (m4c), and the official scorer is given that; a missing one
is empty there, and of a repeated one the last counts. `score_raw` gives it the answers as they are. Standard error:
sample standard deviation over the items.

Traps: the official scorer normalises only where the annotators do not all agree, so that a unanimous "yes" rejects a
raw "Yes". It tells annotators apart by their whole record; here by their place, the same where `answer_id` differs. It
stops at a missing or unknown prediction; here these are counted.
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
    json_object,
    question_number,
    require_some,
    short_questions,
)

SPLIT = "mscoco_val2014"


def questions(data: Path) -> list[Question]:
    """Read the question file of the annotated split."""
    path, images = _question_file(data), data / "val2014"
    if path.suffix == ".jsonl":
        return short_questions(path, images, question_number)
    return [
        Question(
            question_number(row),
            images / f"COCO_val2014_{row.integer('image_id'):012d}.jpg",
            f"{row.text('question')}\n{SINGLE_WORD}",
            SHORT_ANSWER,
        )
        for row in json_object(path).rows("questions")
    ]


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score what LLaVA uploads by the official rule; `parts` holds the accuracy of each question and answer type."""
    return _score(data, answers, m4c)


def score_raw(data: Path, answers: Sequence[Answer]) -> Score:
    """Score the answers as they are by the official rule."""
    return replace(_score(data, answers, str), scorer="VQA vqaEval on raw answers")


def _score(data: Path, answers: Sequence[Answer], before_upload: Callable[[str], str]) -> Score:
    file = _question_file(data)
    rows = json_lines(file) if file.suffix == ".jsonl" else json_object(file).rows("questions")
    asked = {question_number(row): None for row in rows}  # a set that keeps its order
    joined = join(asked, answer_rows(answers), question_number)
    path = find(data, f"v2_{SPLIT}_annotations.json")
    annotated = {row.integer("question_id"): row for row in json_object(path).rows("annotations")}
    items: list[Item] = []
    for identifier in asked:
        if identifier not in annotated:
            raise UserError(f"{path}: no annotation for question {identifier}; expected one for every question asked")
        row = annotated[identifier]
        truths = [answer.text("answer") for answer in row.rows("answers")]
        require_some(len(truths), path, f"answers to question {identifier}")
        prediction = before_upload(joined.text(identifier) or "")
        items.append(
            {
                "question_id": identifier,
                "question_type": row.text("question_type"),
                "answer_type": row.text("answer_type"),
                "prediction": prediction,
                "score": soft_accuracy(prediction, truths),
            }
        )
    require_some(len(items), file, "questions")
    parts = {
        kind: percent_by((item[kind], item["score"]) for item in items) for kind in ("question_type", "answer_type")
    }
    return percent_score("VQA-v2", [item["score"] for item in items], items, parts, joined.completeness, sample_error)


def soft_accuracy(prediction: str, truths: Sequence[str]) -> float:
    """Return 0 to 1; both sides are normalised only where the annotators do not all give the same answer."""
    one_line = [text.replace("\n", " ").replace("\t", " ").strip() for text in (prediction, *truths)]
    if len(set(one_line[1:])) > 1:
        one_line = [vqa_v2(text) for text in one_line]
    return annotator_agreement(one_line[0], one_line[1:])


def _question_file(data: Path) -> Path:
    names = [f"share4v_vqav2_{SPLIT}.jsonl", f"llava_vqav2_{SPLIT}.jsonl", f"v2_OpenEnded_{SPLIT}_questions.json"]
    return find(data, *names)
