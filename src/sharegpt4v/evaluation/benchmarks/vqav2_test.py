"""VQAv2 on its test split: the file for the evaluation server (the paper's column VQA-v2), which has the answers.

Source: LLaVA's question files and convert_vqav2_for_submission.py.

Files, in `vqav2/`: `llava_vqav2_mscoco_test-dev2015.jsonl` or `share4v_...` {question_id, image, text}, the 107,394
questions that are asked; `llava_vqav2_mscoco_test2015.jsonl` or `share4v_...`, all 447,793 that the server wants;
images in `test2015/`.

Prompt: question, then "Answer the question using a single word or phrase."; at most 128 new tokens, padded image.

Submission: a JSON list of {question_id, answer} for all questions of test2015 in the order of the file, normalised by
the rules of m4c; the answer to a question that was not asked is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.evaluation.base import Answer, Question, Submission
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.normalise import m4c
from sharegpt4v.evaluation.reading import answer_rows, find, json_lines, json_text, question_number, short_questions


def questions(data: Path) -> list[Question]:
    """Read the question file of test-dev."""
    return short_questions(_file(data, "test-dev2015"), data / "test2015", question_number)


def submission(data: Path, answers: Sequence[Answer]) -> Submission:
    """Return the file for the server."""
    every, asked = (
        [question_number(row) for row in json_lines(_file(data, split))] for split in ("test2015", "test-dev2015")
    )
    joined = join(asked, answer_rows(answers), question_number, set(every))
    rows = [{"question_id": number, "answer": m4c(joined.text(number) or "")} for number in every]
    return Submission(json_text(rows), joined.completeness)


def _file(data: Path, split: str) -> Path:
    return find(data, f"share4v_vqav2_mscoco_{split}.jsonl", f"llava_vqav2_mscoco_{split}.jsonl")
