"""ChartQA, test (column ChartQA): 2,500 questions on charts, half written by people, half made from descriptions.

Source: open-compass/VLMEvalKit (ChartQA_TEST, relaxed accuracy of vqa_eval.py, which is pix2struct's). Golden cases in
tests/golden/official_scores.json were made by running that function on made-up answers.

Files, in `chartqa/`: `ChartQA_TEST.tsv` with the columns index, question, answer, image (base64), split (test_human or
test_augmented).

Prompt: question, then "Answer the question using a single word or phrase."; at most 128 new tokens, padded image.

Score: the mean of the two halves' shares of right answers. Two numbers are equal within 5 % of the truth, "12%" being
0.12; all else has to be the same text but for its case. A missing answer is wrong. Standard error: that of the two
sampled halves.

Traps: "12%" is not "12"; a truth of 0 is compared as text; "1,000" is no number; an answer is stripped, a truth is not.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.evaluation.base import (
    SHORT_ANSWER,
    SINGLE_WORD,
    Answer,
    Contributions,
    Item,
    Question,
    Score,
    error_of,
    interval_at_the_ends,
    mean,
    percent_by,
)
from sharegpt4v.evaluation.benchmarks.tsv_file import questions_of, read_tsv
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.reading import answer_rows, find, question_number, require_some

TSV = "ChartQA_TEST.tsv"
COLUMN = "ChartQA"
TOLERANCE = 0.05


def questions(data: Path) -> list[Question]:
    """Read one question per row."""
    return questions_of(find(data, TSV), f"\n{SINGLE_WORD}", SHORT_ANSWER)


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by relaxed accuracy; `parts` holds the two halves."""
    path = find(data, TSV)
    asked = dict(read_tsv(path, ("answer", "split")))
    require_some(len(asked), path, "questions")
    joined = join(asked, answer_rows(answers), question_number)
    items: list[Item] = []
    for index, row in asked.items():
        text, truths = joined.text(index), _truths(row["answer"])
        right = text is not None and any(is_equal(text.strip(), truth) for truth in truths)
        items.append(
            {"question_id": index, "split": row["split"], "prediction": text, "answer": truths, "score": float(right)}
        )
    parts = percent_by((item["split"], item["score"]) for item in items)
    interval = interval_at_the_ends([item["score"] for item in items])
    error = error_of(contributions(items)[COLUMN])
    return Score(
        columns={COLUMN: mean(list(parts.values()))},
        n={COLUMN: len(items)},
        stderr={COLUMN: error} if error and not interval else {},
        completeness={COLUMN: joined.completeness},
        parts=parts,
        items=items,
        interval={COLUMN: interval} if interval else {},
    )


def contributions(items: Sequence[Item]) -> Contributions:
    """Return, for each half, what its questions contribute."""
    splits = sorted({item["split"] for item in items})
    return {
        COLUMN: [
            {item["question_id"]: 100 * item["score"] / len(splits) for item in items if item["split"] == split}
            for split in splits
        ]
    }


def is_equal(text: str, truth: str) -> bool:
    """Say whether an answer is the truth: within 5 % for numbers, else the same text but for its case."""
    said, wanted = _number(text), _number(truth)
    if said is not None and wanted:
        return abs(said - wanted) / abs(wanted) <= TOLERANCE
    return text.lower() == truth.lower()


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _truths(cell: str) -> list[str]:
    """Return the truths of a cell, which is one text or a list as Python writes it."""
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    return [str(truth) for truth in found] if isinstance(found, list) and found else [cell]
