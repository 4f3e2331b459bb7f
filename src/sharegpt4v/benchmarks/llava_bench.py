"""LLaVA-Bench in the wild (column LLaVA-Bench-Wild): 60 questions on 24 images, graded by a judge.

Source: haotian-liu/LLaVA, eval_gpt_review_bench.py and summarize_gpt_review.py.

Files, in `llava-bench-in-the-wild/` or its folder `resources/`: `questions.jsonl` {question_id, image, category (conv,
detail or complex), text}; `context.jsonl` {image, caption (a text or several)}; `answers_gpt4.jsonl` {question_id,
text}, the reference; `images/`; and `rule.json`, which is LLaVA's llava/eval/table/rule.json.

Prompt: the question as it stands in the file; at most 1,024 new tokens. The image is cropped, not padded, as the
paper's evaluation does here.

Judge: caption, question, reference and answer in one message that ends with the rule's prompt for the category;
officially gpt-4-0314 at temperature 0.2, which is retired: scores by another judge are not comparable. Of its reply the
first line counts: commas become blanks, and split at single blanks it must be two numbers, the reference's and the
answer's. Anything else is the failed verdict -1 and -1.

Replies file: a JSON list of texts, one per question, in their order.

Score: 100 times the mean of the answers' numbers over that of the reference's, both rounded to three decimals before
and the ratio to one after. Standard error: of a ratio of means (delta method), over questions.

Traps: questions, reference and answers belong together by line, not by id; here ids that differ are refused. Failed
verdicts stay in both means; `parts` counts them. "8, 9" fails, as its comma and its blank make three pieces. The words
nan and inf, numbers to the official script that would spoil the mean, are failed verdicts here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.benchmarks.base import (
    LONG_ANSWER,
    Answer,
    Contributions,
    Item,
    Question,
    Score,
    error_of,
    mean,
)
from sharegpt4v.benchmarks.judged import JudgePrompt, JudgeRules, Replies, Try
from sharegpt4v.benchmarks.reading import Row, answer_rows, find, json_lines, json_object, require_some
from sharegpt4v.errors import UserError

COLUMN = "LLaVA-Bench-Wild"
CATEGORIES = ("conv", "detail", "complex")
PUBLISHED_RULE = "2ce22b562d6008864970ea863ac8a4d385ea6f2e64ab1313a23f825202a9529d"  # one text for all categories
RULES = JudgeRules(
    system="You are a helpful and precise assistant for checking the quality of the answer.",
    max_tokens=1024,
    tries=(Try(temperature=0.2),),
)
FAILED = (-1.0, -1.0)


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    file = _file(data, "questions.jsonl")
    images = file.parent / "images"
    return [
        Question(row.identifier("question_id"), images / row.text("image"), row.text("text"), LONG_ANSWER, "square")
        for row in json_lines(file)
    ]


def judge_prompt(data: Path) -> JudgePrompt:
    """Read the rule's prompts; those of the three categories are one text, as published."""
    texts = dict.fromkeys(rule.text("prompt") for rule in _rules(data).values())
    return JudgePrompt("\n".join(texts), PUBLISHED_RULE)


def messages(data: Path, answers: Sequence[Answer]) -> dict[int | str, str]:
    """Return the message to the judge for each question."""
    rules = _rules(data)
    captions = {row.text("image"): _caption(row) for row in json_lines(_file(data, "context.jsonl"))}
    asked = _asked(data)
    file = _file(data, "answers_gpt4.jsonl")
    references = _paired(asked, list(json_lines(file)), str(file))
    texts = _paired(asked, answer_rows(answers), "answers")
    found = {}
    for row, reference, text in zip(asked, references, texts, strict=True):
        rule, image = rules[row.text("category")], row.text("image")
        if image not in captions:
            raise UserError(f"{row.where}: no caption of {image} in context.jsonl; expected one for every image")
        found[row.identifier("question_id")] = (
            f"[Context]\n{captions[image]}\n\n[Question]\n{row.text('text')}\n\n"
            + _answer_block(rule.text("role"), 1, reference)
            + _answer_block(rule.text("role"), 2, text)
            + f"[System]\n{rule.text('prompt')}\n\n"
        )
    return found


def read_pair(reply: str) -> tuple[float, float] | None:
    """Read the two numbers of a reply; None for a failed verdict."""
    pieces = reply.split("\n")[0].replace(",", " ").split(" ")
    try:
        first, second = (float(piece) for piece in pieces)
    except ValueError:
        return None
    return (first, second) if math.isfinite(first) and math.isfinite(second) else None


def readable(reply: str) -> bool:
    """Say whether a reply has the two numbers."""
    return read_pair(reply) is not None


def recorded(names: Sequence[int | str], replies: Replies) -> list[str]:
    """Return the replies as the list that a replies file holds."""
    return [runs[0][0] for runs in replies]


def score(data: Path, answers: Sequence[Answer], replies: Any) -> Score:
    """Score by the official rule; `parts` holds the same for each category. An item's answer is the reference's number,
    its prediction that of the answer, its score a tenth of that."""
    asked = _asked(data)
    _paired(asked, answer_rows(answers), "answers")
    if not isinstance(replies, list) or not all(isinstance(reply, str) for reply in replies):
        raise UserError("judge's replies: expected a JSON list of texts, one for each question in order")
    if len(replies) != len(asked):
        raise UserError(f"judge's replies: {len(replies)} for {len(asked)} questions; expected one for each, in order")
    pairs = [read_pair(reply) for reply in replies]
    numbers = [pair or FAILED for pair in pairs]
    items: list[Item] = [
        {
            "question_id": row.identifier("question_id"),
            "category": row.text("category"),
            "prediction": second,
            "answer": first,
            "score": min(1.0, max(0.0, second / 10)),
            "failed": pair is None,
        }
        for row, pair, (first, second) in zip(asked, pairs, numbers, strict=True)
    ]
    parts: dict[str, Any] = {"all": _summary(numbers)}
    for category in CATEGORIES:
        chosen = [pair for item, pair in zip(items, numbers, strict=True) if item["category"] == category]
        if chosen:
            parts[category] = _summary(chosen)
    parts["failed verdicts"] = pairs.count(None)
    error = error_of(contributions(items)[COLUMN])
    stderr = {} if error is None else {COLUMN: error}
    return Score({COLUMN: parts["all"]["relative"]}, {COLUMN: len(items)}, stderr, parts, items)


def _summary(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    first, second = (round(mean(numbers), 3) for numbers in zip(*pairs, strict=True))
    if first == 0:
        raise UserError("judge's replies: the reference's numbers have a mean of 0; expected numbers from 1 to 10")
    return {
        "relative": round(second / first * 100, 1),
        "reference": round(first * 10, 1),
        "model": round(second * 10, 1),
        "questions": len(pairs),
    }


def contributions(items: Sequence[Item]) -> Contributions:
    """Return what each question contributes to the ratio of means, to first order (delta method)."""
    reference, model = mean([item["answer"] for item in items]), mean([item["prediction"] for item in items])
    ratio = model / reference
    return {
        COLUMN: [
            {
                item["question_id"]: 100 * (ratio + (item["prediction"] - ratio * item["answer"]) / reference)
                for item in items
            }
        ]
    }


def _file(data: Path, name: str) -> Path:
    return find(data, name, f"resources/{name}")


def _asked(data: Path) -> list[Row]:
    file = _file(data, "questions.jsonl")
    rows = list(json_lines(file))
    require_some(len(rows), file, "questions")
    for row in rows:
        if row.text("category") not in CATEGORIES:
            raise UserError(f"{row.where}: category {row.text('category')!r}; expected one of {', '.join(CATEGORIES)}")
    return rows


def _rules(data: Path) -> dict[str, Row]:
    rules = json_object(_file(data, "rule.json"))
    return {category: rules.row(f"llava_bench_{category}") for category in CATEGORIES}


def _caption(row: Row) -> str:
    return row.text("caption") if isinstance(row.values.get("caption"), str) else "\n".join(row.texts("caption"))


def _paired(asked: Sequence[Row], rows: Sequence[Row], what: str) -> list[str]:
    """Return the texts of rows that belong to the questions line by line."""
    if len(rows) != len(asked):
        raise UserError(f"{what}: {len(rows)} rows for {len(asked)} questions; expected one for each, in their order")
    for question, row in zip(asked, rows, strict=True):
        if row.identifier("question_id") != question.identifier("question_id"):
            raise UserError(
                f"{row.where}: question_id {row.identifier('question_id')!r}; expected "
                f"{question.identifier('question_id')!r}, as rows belong to the questions line by line"
            )
    return [row.text("text") for row in rows]


def _answer_block(role: str, number: int, text: str) -> str:
    return f"[{role} {number}]\n{text}\n\n[End of {role} {number}]\n\n"
