"""GQA, testdev_balanced (column GQA): 12,578 compositional questions on 398 images.

Source: the official eval.py in the variant that LLaVA's documentation names (without scene graphs and choices);
LLaVA's convert_gqa_for_eval.py.

Files, in `gqa/`: `llava_gqa_testdev_balanced.jsonl` or `share4v_gqa_testdev_balanced.jsonl` {question_id, image,
text}; `data/testdev_balanced_questions.json` {id: {question, answer, isBalanced, semantic, types, groups, ...}};
images in `images/` or `data/images/`.

Prompt: question, then "Answer the question using a single word or phrase."; at most 128 new tokens, padded image.

Score: share of balanced questions whose answer, without periods at its end and in lower case, is exactly the truth.
The official scorer stops at a missing prediction; here it is wrong. Standard error: binomial, questions taken as
independent.

Traps: nothing else is normalised: "yes " and "a dog" are wrong. `parts` follows eval.py: binary and open, by
structural and semantic type, by words and reasoning steps, and the distance of the answer distribution, which is left
out where no question has a global group. Validity and plausibility need files that testdev does not have.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.evaluation.base import Answer, Item, Question, Score, Submission, percent_by, percent_score
from sharegpt4v.evaluation.joining import Joined, join
from sharegpt4v.evaluation.reading import (
    Row,
    answer_rows,
    find,
    json_object,
    json_text,
    require_some,
    short_questions,
)

NOT_A_STEP = ("exist", "query: name", "choose name")


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    images = find(data, "images", "data/images")
    return short_questions(find(data, "share4v_gqa_testdev_balanced.jsonl", "llava_gqa_testdev_balanced.jsonl"), images)


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by exact match; `parts` holds the finer accuracies of the official scorer."""
    rows, joined = _joined(data, answers)
    items: list[Item] = []
    for identifier, row in rows.items():
        if not row.flag("isBalanced"):
            continue
        prediction = _prediction(joined.text(identifier) or "")
        types = row.row("types")
        items.append(
            {
                "question_id": identifier,
                "structural": types.text("structural"),
                "semantic": types.text("semantic"),
                "words": len(row.text("question").split()),
                "steps": _steps(row),
                "group": row.row("groups").values.get("global"),
                "prediction": prediction,
                "answer": row.text("answer"),
                "score": float(prediction == row.text("answer")),
            }
        )
    return percent_score("GQA", [item["score"] for item in items], items, _parts(items), joined.completeness)


def submission(data: Path, answers: Sequence[Answer]) -> Submission:
    """Return the predictions file of the official scorer: what was answered of the questions, in its order."""
    rows, joined = _joined(data, answers)
    predictions = [
        {"questionId": name, "prediction": _prediction(row.text("text"))}
        for name, row in joined.rows.items()
        if name in rows
    ]
    return Submission(json_text(predictions), joined.completeness)


def _joined(data: Path, answers: Sequence[Answer]) -> tuple[dict[str, Row], Joined[str]]:
    """Return the annotated questions, and the answers by question; those that are not balanced need none."""
    path = find(data, "data/testdev_balanced_questions.json", "testdev_balanced_questions.json")
    annotation = json_object(path)
    rows = {identifier: annotation.row(identifier) for identifier in annotation.values}
    balanced = [identifier for identifier, row in rows.items() if row.flag("isBalanced")]
    require_some(len(balanced), path, "balanced questions")
    return rows, join(balanced, answer_rows(answers), lambda row: str(row.identifier("question_id")), rows)


def _prediction(text: str) -> str:
    return text.rstrip(".").lower()


def _steps(row: Row) -> int:
    """Count the operations of a question's program, without those that only look a name up."""
    operations = [f"{step.text('operation')}: {step.text('argument')}" for step in row.rows("semantic")]
    return sum(not any(name in operation for name in NOT_A_STEP) for operation in operations)


def _parts(items: list[Item]) -> dict[str, Any]:
    parts: dict[str, Any] = percent_by(
        ("open" if item["structural"] == "query" else "binary", item["score"]) for item in items
    )
    for kind in ("structural", "semantic", "words", "steps"):
        parts[kind] = percent_by((item[kind], item["score"]) for item in items)
    distance = _distribution_distance(items)
    return parts if distance is None else parts | {"distribution": distance}


def _distribution_distance(items: list[Item]) -> float | None:
    """Return the chi-square distance between given and true answers of the global groups, by their sizes, over 100."""
    gold: dict[str, Counter[str]] = defaultdict(Counter)
    given: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        if item["group"] is not None:
            gold[item["group"]][item["answer"]] += 1
            given[item["group"]][item["prediction"]] += 1
    if not gold:
        return None
    total = sum(truths.total() for truths in gold.values())
    distances = (
        truths.total() * sum((given[group][answer] - count) ** 2 / count for answer, count in truths.items())
        for group, truths in gold.items()
    )
    return sum(distances) / total / 100
