"""MM-Vet, first version (column MM-Vet): 218 questions on 200 images, graded by a judge.

Source: yuweihao/MM-Vet, mm-vet_evaluator.py; LLaVA's model_vqa.py for the prompt.

Files, in `mm-vet/`: `mm-vet.json` {"v1_0": {question, answer, capability: [rec, ocr, know, gen, spat, math], ...}},
also in its folder `resources/`; `llava-mm-vet.jsonl` or `share4v-mm-vet.jsonl` {question_id, image, text}; images in
`images/` or `resources/images/`; and `mm-vet_evaluator.py`, from which the judge's prompt is read: the text that is
assigned to `prompt`. The file is not run.

Prompt: the question as in the file; at most 1,024 new tokens. The image is cropped, not padded, as the
paper's evaluation does here. The answer to question n belongs to "v1_n".

Judge: the prompt, a table with seven examples, and the question as its last row, in which the judge is to fill in the
last cell; officially gpt-4-0613 at temperature 0, at most three tokens. Of its reply the text before the first blank
counts, which must be a number from 0 to 1. If it is not, one sentence is put after the message and the judge is asked
again, at temperature 0, 0.5, 1, 1.5 and 2. The sixth reply is asked for but not read: the grade is 0.

Replies file: {id: [[replies of the first run, in the order asked], [of the second], ...]}.

Score: 100 times the mean grade of a run; the mean over runs, rounded to one decimal. `parts` holds the same for each
capability (every question that lists it) and each integration (questions with exactly these), and the population
standard deviation of the runs. Standard error: sample standard deviation of the grades, over questions.

Traps: in the message "<AND>" and "<OR>" get a blank on both sides even where they have one. "nan", which the official
script would take for a number from 0 to 1, is asked again here. It stops at a missing answer; here an empty one is
graded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import pstdev
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import (
    LONG_ANSWER,
    Answer,
    Item,
    Question,
    Score,
    Submission,
    mean,
    percent_by,
    percent_score,
    sample_error,
)
from sharegpt4v.evaluation.joining import Joined, join
from sharegpt4v.evaluation.judged import JudgePrompt, JudgeRules, Replies, Try
from sharegpt4v.evaluation.reading import (
    Row,
    answer_rows,
    find,
    json_lines,
    json_object,
    json_text,
    require_some,
)
from sharegpt4v.files import read_json, read_text

COLUMN = "MM-Vet"
PUBLISHED_PROMPT = "d1b3e0a5b4e72c888b77164489d705bba4dd149934fff564dfba6443d81afe3f"
AGAIN = "\nPredict the correctness of the answer (digit): "
RULES = JudgeRules(
    system=None,
    max_tokens=3,
    tries=(Try(0.0), *(Try(temperature, AGAIN) for temperature in (0.0, 0.5, 1.0, 1.5, 2.0))),
)
READ = len(RULES.tries) - 1  # the last reply is not read


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    images = find(data, "images", "resources/images")
    return [
        Question(row.integer("question_id"), row.image("image", images), row.text("text"), LONG_ANSWER, "square")
        for row in json_lines(find(data, "llava-mm-vet.jsonl", "share4v-mm-vet.jsonl"))
    ]


def judge_prompt(data: Path) -> JudgePrompt:
    """Read the prompt out of the evaluator's source."""
    path = find(data, "mm-vet_evaluator.py")
    try:
        for node in ast.parse(read_text(path)).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "prompt":
                text = ast.literal_eval(node.value)
                if isinstance(text, str):
                    return JudgePrompt(text, PUBLISHED_PROMPT)
    except (SyntaxError, ValueError):
        pass  # told below
    raise UserError(f"{path}: no text is assigned to 'prompt'; expected MM-Vet's evaluator")


def joined(data: Path, answers: Sequence[Answer]) -> Joined[str]:
    """Join answers to the questions."""
    return join(_asked(data), answer_rows(answers), lambda row: f"v1_{row.integer('question_id')}")


def messages(data: Path, answers: Sequence[Answer]) -> dict[int | str, str]:
    """Return the message to the judge for each question."""
    prefix, found = judge_prompt(data).text, joined(data, answers)
    return {
        name: f"{prefix}\n{row.text('question')} | {_spaced(row.text('answer'))} | {found.text(name) or ''} | "
        for name, row in _asked(data).items()
    }


def read_grade(reply: str) -> float | None:
    """Read the grade of a reply, from 0 to 1; None when there is none."""
    try:
        grade = float(reply.split(" ")[0].strip())
    except ValueError:
        return None
    return grade if 0 <= grade <= 1 else None


def readable(reply: str) -> bool:
    """Say whether a reply has a grade."""
    return read_grade(reply) is not None


def recorded(names: Sequence[int | str], replies: Replies) -> dict[str, Any]:
    """Return the replies as a replies file holds them."""
    return {str(name): runs for name, runs in zip(names, replies, strict=True)}


def read_replies(path: Path) -> Any:
    """Read a replies file."""
    return read_json(path)


def score(data: Path, answers: Sequence[Answer], replies: Any) -> Score:
    """Score by the official rule; an item's prediction is its grade in each run."""
    asked = _asked(data)
    recorded_runs = Row.of(replies, "judge's replies")
    items: list[Item] = []
    failed = 0
    for name, row in asked.items():
        grades = [
            _grade_of_run(run, f"judge's replies, {name}, run {number}")
            for number, run in enumerate(recorded_runs.sequence(name), start=1)
        ]
        if not grades or len(grades) != len(items[0]["prediction"] if items else grades):
            raise UserError(f"judge's replies, {name}: {len(grades)} runs; expected as many for all, at least one")
        failed += grades.count(None)
        numbers = [grade or 0.0 for grade in grades]
        items.append(
            {
                "question_id": name,
                "capability": sorted(set(row.texts("capability"))),
                "prediction": numbers,
                "answer": row.text("answer"),
                "score": mean(numbers),
            }
        )
    runs = [100 * mean(grades) for grades in zip(*(item["prediction"] for item in items), strict=True)]
    parts = {
        "runs": [round(total, 1) for total in runs],
        "standard deviation of runs": round(pstdev(runs), 1),
        "capabilities": _by((name, item["score"]) for item in items for name in item["capability"]),
        "integrations": _by(("_".join(item["capability"]), item["score"]) for item in items),
    }
    complete = replace(joined(data, answers).completeness, verdicts=len(items) * len(runs), failed=failed)
    scored = percent_score(COLUMN, [item["score"] for item in items], items, parts, complete, sample_error)
    return replace(scored, columns={COLUMN: round(mean(runs), 1)})  # the official number is rounded


def submission(data: Path, answers: Sequence[Answer]) -> Submission:
    """Return the results file that MM-Vet's own evaluator on the web takes: what was answered of the questions."""
    found = joined(data, answers)
    texts = {name: found.text(name) for name in _asked(data) if name in found.rows}
    return Submission(json_text(texts, indent=2), found.completeness)


def _grade_of_run(run: Any, where: str) -> float | None:
    """Return the first grade that can be read; None when as many replies as are read have none."""
    if not isinstance(run, list) or not all(isinstance(reply, str) for reply in run):
        raise UserError(f"{where}: expected a list of texts, the replies in the order asked")
    for reply in run[:READ]:
        if (grade := read_grade(reply)) is not None:
            return grade
    if len(run) < READ:
        raise UserError(f"{where}: {len(run)} replies without a grade; expected more, until one has it")
    return None


def _by(named: Iterable[tuple[str, float]]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in percent_by(named).items()}


def _asked(data: Path) -> Mapping[str, Row]:
    path = find(data, "mm-vet.json", "resources/mm-vet.json")
    rows = json_object(path)
    require_some(len(rows.values), path, "questions")
    return {name: rows.row(name) for name in rows.values}


def _spaced(truth: str) -> str:
    return truth.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
