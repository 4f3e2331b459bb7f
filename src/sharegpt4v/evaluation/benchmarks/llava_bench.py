"""LLaVA-Bench in the wild (column LLaVA-Bench-Wild): 60 questions on 24 images, graded by a judge.

Source: haotian-liu/LLaVA, eval_gpt_review_bench.py and summarize_gpt_review.py.

Files, in `llava-bench-in-the-wild/` or its folder `resources/`: `questions.jsonl` {question_id, image, category (conv,
detail or complex), text}; `context.jsonl` {image, caption (a text or several)}; `answers_gpt4.jsonl` {question_id,
text}, the reference; `images/`; and `rule.json`, which is LLaVA's llava/eval/table/rule.json.

Prompt: the question as in the file; at most 1,024 new tokens. The image is cropped, not padded, as the
paper's evaluation does here.

Judge: caption, question, reference and answer in one message that ends with the rule's prompt for the category;
officially gpt-4-0314 at temperature 0.2, which is retired: scores by another judge are not comparable. Of its reply the
first line counts: commas become blanks, and split at single blanks it must be two numbers, the reference's and the
answer's. Anything else is the failed verdict -1 and -1.

Replies file: a JSON list with the replies of all runs to each question, in their order; or, of a single run, with one
text each; or the review file of the official script, JSON lines of {question_id, content, tuple}.

Score: 100 times the mean of the answers' numbers over that of the reference's, both rounded to three decimals before
and the ratio to one after; the mean over the runs, as LLaVA's published numbers are means of three. Standard error: of
a ratio of means (delta method), over questions.

Traps: the official script pairs questions, reference and answers by line; here answers are joined by id, and references
whose ids differ are refused. Failed verdicts stay in both means. "8, 9" fails, as its comma and its blank make three
pieces. The words nan and inf and numbers beyond ±1000, which would spoil the mean, are failed verdicts here; to the
official script they are numbers. A missing answer is graded as an empty one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import pstdev
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
    mean,
)
from sharegpt4v.evaluation.benchmarks.llava_bench_verdicts import (
    FAILED,
    Pair,
    read_pair,
    require_pairs,
    verdicts_of,
)
from sharegpt4v.evaluation.benchmarks.llava_bench_verdicts import (
    read_replies as read_replies,  # of the module's protocol
)
from sharegpt4v.evaluation.joining import Joined, join
from sharegpt4v.evaluation.judged import JudgePrompt, JudgeRules, Replies, Try
from sharegpt4v.evaluation.reading import (
    Row,
    answer_rows,
    find,
    json_lines,
    json_object,
    question_id,
    require_some,
)

COLUMN = "LLaVA-Bench-Wild"
CATEGORIES = ("conv", "detail", "complex")
PUBLISHED_RULE = "2ce22b562d6008864970ea863ac8a4d385ea6f2e64ab1313a23f825202a9529d"  # one text for all categories
RULES = JudgeRules(
    system="You are a helpful and precise assistant for checking the quality of the answer.",
    max_tokens=1024,
    tries=(Try(temperature=0.2),),
)


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    file = _file(data, "questions.jsonl")
    images = file.parent / "images"
    return [
        Question(row.identifier("question_id"), row.image("image", images), row.text("text"), LONG_ANSWER, "square")
        for row in json_lines(file)
    ]


def judge_prompt(data: Path) -> JudgePrompt:
    """Read the rule's prompts; those of the three categories are one text, as published."""
    texts = dict.fromkeys(rule.text("prompt") for rule in _rules(data).values())
    return JudgePrompt("\n".join(texts), PUBLISHED_RULE)


def joined(data: Path, answers: Sequence[Answer]) -> Joined[int | str]:
    """Join answers to the questions."""
    return join(map(question_id, _asked(data)), answer_rows(answers), question_id)


def messages(data: Path, answers: Sequence[Answer]) -> dict[int | str, str]:
    """Return the message to the judge for each question."""
    rules = _rules(data)
    captions = {row.text("image"): _caption(row) for row in json_lines(_file(data, "context.jsonl"))}
    asked, texts = _asked(data), joined(data, answers)
    file = _file(data, "answers_gpt4.jsonl")
    references = list(json_lines(file))
    require_pairs(asked, references, str(file))
    found = {}
    for row, reference in zip(asked, references, strict=True):
        rule, image = rules[row.text("category")], row.text("image")
        if image not in captions:
            raise UserError(f"{row.where}: no caption of {image} in context.jsonl; expected one for every image")
        found[question_id(row)] = (
            f"[Context]\n{captions[image]}\n\n[Question]\n{row.text('text')}\n\n"
            + _answer_block(rule.text("role"), 1, reference.text("text"))
            + _answer_block(rule.text("role"), 2, texts.text(question_id(row)) or "")
            + f"[System]\n{rule.text('prompt')}\n\n"
        )
    return found


def readable(reply: str) -> bool:
    """Say whether a reply has the two numbers."""
    return read_pair(reply) is not None


def recorded(names: Sequence[int | str], replies: Replies) -> list[list[str]]:
    """Return the replies of all runs to each question, as a replies file holds them."""
    return [[run[0] for run in runs] for runs in replies]


def score(data: Path, answers: Sequence[Answer], replies: Any) -> Score:
    """Score by the official rule; `parts` holds the same for each category, means over the runs. An item's answer is
    the reference's number, its prediction that of the answer, its score a tenth of that, all means over the runs."""
    asked = _asked(data)
    verdicts = verdicts_of(asked, replies)
    runs = [[pair or FAILED for pair in run] for run in zip(*verdicts, strict=True)]
    items: list[Item] = []
    for row, of_runs, found in zip(asked, zip(*runs, strict=True), verdicts, strict=True):
        first, second = (mean(numbers) for numbers in zip(*of_runs, strict=True))
        items.append(
            {
                "question_id": question_id(row),
                "category": row.text("category"),
                "prediction": second,
                "answer": first,
                "score": min(1.0, max(0.0, second / 10)),
                "failed": found.count(None),
            }
        )
    relatives = [_summary(run)["relative"] for run in runs]
    parts: dict[str, Any] = {
        "runs": relatives,
        "standard deviation of runs": round(pstdev(relatives), 1),
        "all": _mean_summary(runs),
    }
    for category in CATEGORIES:
        places = [place for place, item in enumerate(items) if item["category"] == category]
        if places:
            parts[category] = _mean_summary([[run[place] for place in places] for run in runs])
    error = error_of(contributions(items)[COLUMN])
    failed = sum(item["failed"] for item in items)
    complete = replace(joined(data, answers).completeness, verdicts=len(items) * len(runs), failed=failed)
    return Score(
        columns={COLUMN: parts["all"]["relative"]},
        n={COLUMN: len(items)},
        stderr={COLUMN: error} if error else {},  # 0 is no spread to estimate it from
        completeness={COLUMN: complete},
        parts=parts,
        items=items,
    )


def _summary(pairs: Sequence[Pair]) -> dict[str, float]:
    first, second = (round(mean(numbers), 3) for numbers in zip(*pairs, strict=True))
    if first == 0:
        raise UserError("judge's replies: the reference's numbers have a mean of 0; expected numbers from 1 to 10")
    return {
        "relative": round(second / first * 100, 1),
        "reference": round(first * 10, 1),
        "model": round(second * 10, 1),
        "questions": len(pairs),
    }


def _mean_summary(runs: Sequence[Sequence[Pair]]) -> dict[str, float]:
    """Return the means over the runs, to one decimal."""
    summaries = [_summary(run) for run in runs]
    means = {name: round(mean([one[name] for one in summaries]), 1) for name in summaries[0]}
    return means | {"questions": len(runs[0])}


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


def _answer_block(role: str, number: int, text: str) -> str:
    return f"[{role} {number}]\n{text}\n\n[End of {role} {number}]\n\n"
