"""POPE (column POPE): is there such an object in the image? Three sets of questions on 500 images of COCO.

Source: RUCAIBox/POPE (evaluate.py, output/coco); LLaVA's eval_pope.py, which is the same rule, and its question file.
Golden numbers in tests/golden/official_scores.json were made by running LLaVA's eval_pope.py on made-up answers.

Files, in `pope/`: `llava_pope_test.jsonl` {question_id, image, text, category: random, popular or adversarial};
`coco/coco_pope_{random,popular,adversarial}.json`, JSON lines {question_id, image, text, label: yes or no}; images in
`val2014/`.

Prompt: question, then "Answer the question using a single word or phrase."; at most 128 new tokens, padded image.

Score: the mean of the F1 of the three sets, "yes" being positive. Of an answer the first sentence counts, commas out:
with "No", "not" or "no" among its words it is no, else yes. A missing answer does not count. F1 without a true positive
is 0 (the official scorer stops there). `parts` holds the confusion, accuracy, precision, recall and share of yes.

Standard error: F1 is 2 TP / (2 TP + FP + FN), so its error is that of the linearised ratio (delta method). The
questions on an image are one observation, in all three sets, as they have the same images.

Traps: LLaVA's question file has 2,910 questions in random, the set as it is published now 3,000, and the official
scorers join the labels by position: a question is joined to its label by image and text here. One whose label is not
there is left out and counted in `parts`. "No." is no, "no," too, but "NO" and "nope" are yes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import SINGLE_WORD, Answer, Contributions, Item, Question, Score, error_of, mean
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.reading import answer_rows, find, json_lines, question_id, require_some, short_questions

SETS = ("random", "popular", "adversarial")
FILE = "llava_pope_test.jsonl"
COLUMN = "POPE"
NEGATIONS = {"No", "not", "no"}


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    return short_questions(find(data, "share4v_pope_test.jsonl", FILE), data / "val2014")


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the official rule, with labels joined by image and text."""
    path = find(data, "share4v_pope_test.jsonl", FILE)
    labels = {name: _labels(find(data, f"coco/coco_pope_{name}.json")) for name in SETS}
    asked: dict[int | str, Item] = {}
    unlabelled = 0
    for row in json_lines(path):
        name, text = row.text("category"), _question(row.text("text"))
        if name not in SETS:
            raise UserError(f"{row.where}, field 'category': {name!r}; expected one of {', '.join(SETS)}")
        label = labels[name].get((row.text("image"), text))
        unlabelled += label is None
        if label is not None:
            asked[question_id(row)] = {"set": name, "image": row.text("image"), "question": text, "answer": label}
    require_some(len(asked), path, "questions that the sets of coco/ have a label for")
    joined = join(asked, answer_rows(answers), question_id)
    items: list[Item] = []
    for key, item in asked.items():
        if (text_said := joined.text(key)) is not None:
            said = yes_or_no(text_said)
            items.append({"question_id": key, **item, "prediction": said, "score": float(said == item["answer"])})
    require_some(len(items), path, "answers to its questions")
    parts: dict[str, Any] = {name: _numbers([item for item in items if item["set"] == name]) for name in SETS}
    error = error_of(contributions(items)[COLUMN])
    return Score(
        columns={COLUMN: 100 * mean([parts[name]["f1"] for name in SETS])},
        n={COLUMN: len(items)},
        stderr={COLUMN: error} if error else {},
        completeness={COLUMN: joined.completeness},
        parts={**parts, "unlabelled": unlabelled},
        items=items,
    )


def yes_or_no(text: str) -> str:
    """Read an answer as the official scorer does: "yes" or "no"."""
    return "no" if NEGATIONS & set(text.split(".")[0].replace(",", "").split(" ")) else "yes"


def contributions(items: Sequence[Item]) -> Contributions:
    """Return what each image contributes: their mean is the column, their spread the linearised ratios'."""
    images: dict[str, float] = dict.fromkeys((item["image"] for item in items), 0.0)
    value = 0.0
    for name in SETS:
        of_set = [item for item in items if item["set"] == name]
        numbers = _numbers(of_set)
        value += 100 * numbers["f1"] / len(SETS)
        below = 2 * numbers["true_positives"] + numbers["false_positives"] + numbers["false_negatives"]
        for item in of_set:
            positives = (item["answer"] == "yes") + (item["prediction"] == "yes")
            hits = 2 * (item["answer"] == item["prediction"] == "yes")
            if below:
                images[item["image"]] += 100 / len(SETS) * len(images) * (hits - numbers["f1"] * positives) / below
    return {COLUMN: [{image: value + deviation for image, deviation in images.items()}]}


def _labels(path: Path) -> dict[tuple[str, str], str]:
    """Read the labels of a set by image and question."""
    labels: dict[tuple[str, str], str] = {}
    for row in json_lines(path):
        label = row.text("label")
        if label not in ("yes", "no"):
            raise UserError(f"{row.where}, field 'label': {label[:60]!r}; expected yes or no")
        labels[row.text("image"), _question(row.text("text"))] = label
    return labels


def _question(text: str) -> str:
    """The question alone, without what is asked for."""
    return text.replace(SINGLE_WORD, "").strip()


def _numbers(items: Sequence[Item]) -> dict[str, float]:
    """The official numbers of a set; 0 where there is nothing to divide by."""
    found = Counter((item["answer"], item["prediction"]) for item in items)
    tp, fp, fn, tn = (found[pair] for pair in (("yes", "yes"), ("no", "yes"), ("yes", "no"), ("no", "no")))
    precision, recall = tp / (tp + fp or 1), tp / (tp + fn or 1)
    return {
        "f1": 2 * tp / (2 * tp + fp + fn or 1),
        "accuracy": (tp + tn) / (len(items) or 1),
        "precision": precision,
        "recall": recall,
        "yes_ratio": (tp + fp) / (len(items) or 1),
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": tn,
    }
