"""HallusionBench, its yes/no questions with an image (column HallusionBench): 951 of 1,129, on figures and edited ones.

Source: tianyi-lab/HallusionBench for the files; open-compass/VLMEvalKit (YOrN_Extraction, Hallusion_rating) for reading
an answer without a judge and for the numbers. Golden numbers in tests/golden/official_scores.json were made by running
these two functions on made-up answers.

Files, in `hallusion_bench/`: `HallusionBench.json`, a list of {category: VD or VS, subcategory, set_id, figure_id,
question_id, question, gt_answer: "0" or "1", filename: path of the image or null}; images in `hallusion_bench/`, as
the official archive has them. Questions without an image are left out.

Prompt: the question alone; at most 1,024 new tokens, padded image.

Score: the mean of three shares: of right questions, of figures with all questions right, of questions that are right on
all their figures; `parts` holds each, for all and by category. An answer is yes or no when that is among its words and
the other is not; else, or missing, it is wrong.

Standard error: the questions of a set share their figures, so a set is one observation, in all three shares.

Traps: "There is no doubt: yes" is neither. "not" is not read as no.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import (
    LONG_ANSWER,
    Answer,
    Contributions,
    Item,
    Question,
    Score,
    error_of,
    interval_at_the_ends,
    mean,
)
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.normalise import PERIODS_DELETED_AT_MOST, PUNCTUATION
from sharegpt4v.evaluation.reading import Row, answer_rows, find, json_list, require_some

FILE = "HallusionBench.json"
IMAGES = "hallusion_bench"
COLUMN = "HallusionBench"
TRUTHS = {"0": "no", "1": "yes"}
SHARES = {"aAcc": ("question_id",), "fAcc": ("set", "figure"), "qAcc": ("set", "question")}
"""By share: what its units have in common."""


def questions(data: Path) -> list[Question]:
    """Read the questions that have an image."""
    return [
        Question(_id(row), row.image("filename", data / IMAGES), row.text("question"), LONG_ANSWER)
        for row in _rows(find(data, FILE))
    ]


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by yes and no."""
    path = find(data, FILE)
    asked = {_id(row): row for row in _rows(path)}
    require_some(len(asked), path, "questions with an image")
    joined = join(asked, answer_rows(answers), lambda row: str(row.identifier("question_id")))
    items: list[Item] = []
    for key, row in asked.items():
        truth = row.text("gt_answer")
        if truth not in TRUTHS:
            raise UserError(f"{row.where}, field 'gt_answer': {truth[:60]!r}; expected 0 or 1")
        said = yes_or_no(joined.text(key) or "")
        category, subcategory, number, figure, question = key.rsplit("/", 4)
        items.append(
            {
                "question_id": key,
                "category": category,
                "set": f"{category}/{subcategory}/{number}",
                "figure": figure,
                "question": question,
                "prediction": said,
                "answer": TRUTHS[truth],
                "score": float(said == TRUTHS[truth]),
            }
        )
    groups = contributions(items)[COLUMN]
    interval, error = interval_at_the_ends([item["score"] for item in items]), error_of(groups)
    parts = {name: _shares([item for item in items if item["category"] == name]) for name in ("VD", "VS")}
    return Score(
        columns={COLUMN: mean(list(_shares(items).values()))},
        n={COLUMN: len(items)},
        stderr={COLUMN: error} if error and not interval else {},
        completeness={COLUMN: joined.completeness},
        parts={**_shares(items), **{name: shares for name, shares in parts.items() if shares}},
        items=items,
        interval={COLUMN: interval} if interval else {},
    )


def yes_or_no(text: str) -> str:
    """Read an answer: "yes", "no" or "other"."""
    before = text = text.lower()
    thousands = re.search(r"\d,\d", before) is not None
    for mark in PUNCTUATION:
        beside_blank = f"{mark} " in before or f" {mark}" in before
        text = text.replace(mark, "" if beside_blank or thousands else " ")
    words = re.sub(r"(?<!\d)\.(?!\d)", "", text, count=PERIODS_DELETED_AT_MOST).split()
    if ("yes" in words) == ("no" in words):
        return "other"
    return "yes" if "yes" in words else "no"


def contributions(items: Sequence[Item]) -> Contributions:
    """Return what each set contributes: the right units of each share, weighted so that the mean is the column."""
    sets: dict[str, float] = dict.fromkeys((item["set"] for item in items), 0.0)
    for kind in SHARES:
        units = _units(items, kind)
        for (name, *_), right in units.items():
            sets[name] += 100 * len(sets) * right / len(units) / len(SHARES)
    return {COLUMN: [{name: value for name, value in sets.items()}]}


def _shares(items: Sequence[Item]) -> dict[str, float]:
    return {kind: 100 * mean(list(_units(items, kind).values())) for kind in SHARES} if items else {}


def _units(items: Sequence[Item], kind: str) -> dict[tuple[Any, ...], bool]:
    """Return by unit of a share, whose key begins with its set, whether all its questions are right."""
    found: dict[tuple[Any, ...], bool] = defaultdict(lambda: True)
    for item in items:
        found[item["set"], *(item[name] for name in SHARES[kind])] &= item["score"] == 1
    return dict(found)


def _rows(path: Path) -> list[Row]:
    return [row for row in json_list(path) if row.values.get("filename")]


def _id(row: Row) -> str:
    """Return what tells a question apart from all others; the file has no ids of its own."""
    return "/".join(row.text(name) for name in ("category", "subcategory", "set_id", "figure_id", "question_id"))
