"""OCRBench (column OCRBench): 1,000 questions on text in images, of ten kinds.

Source: open-compass/VLMEvalKit (class OCRBench), which is Yuliang-Liu/MultimodalOCR's rule. Golden numbers in
tests/golden/official_scores.json were made by running that class on made-up answers.

Files, in `ocrbench/`: `OCRBench.tsv` with the columns index, image (base64), question, answer (a list of texts as
Python writes it), category.

Prompt: the question alone; at most 128 new tokens, padded image.

Score: the share of answers that contain one of the truths; both in lower case, stripped, blanks for newlines. Of
handwritten formulas all blanks are taken out and the case counts. A missing answer is wrong. Others give the number of
right answers of 1,000: ten times this column. Standard error: binomial.

Traps: "12" is contained in "1,125 or 3120"; a truth need not be a word of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import SHORT_ANSWER, Answer, Item, Question, Score, percent_by, percent_score
from sharegpt4v.evaluation.benchmarks.tsv_file import questions_of, read_tsv
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.reading import answer_rows, find, question_number, require_some

TSV = "OCRBench.tsv"
FORMULAS = "Handwritten Mathematical Expression Recognition"


def questions(data: Path) -> list[Question]:
    """Read one question per row."""
    return questions_of(find(data, TSV), "", SHORT_ANSWER)


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by what an answer contains; `parts` holds the share of each kind."""
    path = find(data, TSV)
    asked = dict(read_tsv(path, ("answer", "category")))
    require_some(len(asked), path, "questions")
    joined = join(asked, answer_rows(answers), question_number)
    items: list[Item] = []
    for index, row in asked.items():
        truths, text = _truths(row["answer"], f"{path}, index {index}, column answer"), joined.text(index)
        right = text is not None and contains(text, truths, formula=row["category"] == FORMULAS)
        items.append(
            {
                "question_id": index,
                "category": row["category"],
                "prediction": text,
                "answer": truths,
                "score": float(right),
            }
        )
    parts = {"category": percent_by((item["category"], item["score"]) for item in items)}
    return percent_score("OCRBench", [item["score"] for item in items], items, parts, joined.completeness)


def contains(text: str, truths: Sequence[str], formula: bool) -> bool:
    """Say whether an answer contains one of the truths, as the official rule compares them."""
    plain = _without_blanks if formula else _lowered
    return any(plain(truth) in plain(text) for truth in truths)


def _lowered(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _without_blanks(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")


def _truths(cell: str, where: str) -> list[str]:
    try:
        truths = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        truths = None
    if not isinstance(truths, list) or not truths or not all(isinstance(truth, str) for truth in truths):
        raise UserError(f"{where}: {cell[:60]!r}; expected a list of texts such as ['STOP', 'stop sign']")
    return truths
