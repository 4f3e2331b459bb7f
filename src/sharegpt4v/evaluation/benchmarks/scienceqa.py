"""ScienceQA, test questions with an image (column SQA-image): 2,017 of the 4,241 that are asked.

Source: lupantech/ScienceQA; LLaVA's model_vqa_science.py and eval_science_qa.py.

Files, in `scienceqa/`: `llava_test_CQM-A.json` or `share4v_test_CQM-A.json`, a list of {id, image only where there is
one, conversations}; `problems.json` {id: {choices, answer (index), ...}}; `pid_splits.json` {test: [ids]}; images in
`images/test/<id>/image.png`.

Prompt: context, question and choices as in the file, then "Answer with the option's letter from the given
choices directly."; at most 1,024 new tokens. The image is cropped, not padded, as the paper's evaluation does here.
Questions without an image are asked without one. The stored prompt keeps its "<image>" line; by it the scorer knows
the questions with an image.

Score: the share of right letters among answered questions with an image. Read as a letter: exactly A to E; "A. ..."
with a blank after the period; one sentence "The answer is A" followed by any character. Anything else, or a letter
that the question has no choice for, is wrong. Standard error: binomial, over the questions with an image.

Traps: "A." alone, "(A)", "a" and a final "The answer is B" are wrong; "The answer is Because" is read as B. A missing
prediction counts in the accuracy over all questions and not among those with an image; neither does an answer whose
prompt lacks "<image>".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import LONG_ANSWER, Answer, Contributions, Item, Question, Score, mean, percent_score
from sharegpt4v.evaluation.joining import count, join
from sharegpt4v.evaluation.reading import Row, answer_rows, find, json_list, json_object

LETTERS = "ABCDE"
IMAGE_LINE = "<image>\n"
LETTER_PROMPT = "Answer with the option's letter from the given choices directly."
SENTENCE = re.compile(r"The answer is ([A-Z]).")  # the last dot is any character, as in the official scorer


def questions(data: Path) -> list[Question]:
    """Read the question file; questions without an image have `image` None."""
    return [_question(data, row) for row in json_list(find(data, "share4v_test_CQM-A.json", "llava_test_CQM-A.json"))]


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the official rule; `parts` holds the accuracy over all questions, with and without an image."""
    problems = json_object(find(data, "problems.json"))
    asked = json_object(find(data, "pid_splits.json")).texts("test")
    rows = answer_rows(answers)
    joined = join(asked, rows, _identifier)
    items: list[Item] = []
    for identifier in asked:
        problem = problems.row(identifier)
        row = joined.rows.get(identifier)
        letter = None if row is None else letter_of(row.text("text"))
        truth = problem.integer("answer")
        choices = problem.sequence("choices")
        if not 0 <= truth < len(choices) <= len(LETTERS):
            raise UserError(f"{problem.where}: answer {truth} of {len(choices)} choices; expected one of two to five")
        items.append(
            {
                "question_id": identifier,
                "has_image": bool(problem.values.get("image")),
                "with_image": row is not None and _with_image(row),
                "prediction": letter,
                "answer": LETTERS[truth],
                "score": float(letter == LETTERS[truth]),
            }
        )
    with_image = [item["score"] for item in items if item["with_image"]]
    if not with_image:
        raise UserError("ScienceQA: no answer to a question with an image; expected prompts that begin with <image>")
    parts = {
        "all questions": 100 * mean([item["score"] for item in items]),
        "questions": len(items),
        "missing": joined.completeness.missing,
    }
    # A question with an image that is not answered, or by a row whose prompt does not say so, is missing here.
    column = {item["question_id"] for item in items if item["with_image"] or item["has_image"]}
    counted = [row for row in rows if _identifier(row) not in column or _with_image(row)]
    return percent_score("SQA-image", with_image, items, parts, count(column, map(_identifier, counted), set(asked)))


def contributions(items: Sequence[Item]) -> Contributions:
    """Return what each question with an image contributes."""
    return {"SQA-image": [{item["question_id"]: 100 * item["score"] for item in items if item["with_image"]}]}


def letter_of(text: str) -> str | None:
    """Read the letter an answer gives, or None; it may be one that the question has no choice for."""
    if len(text) == 1 and text in LETTERS:
        return text
    if len(text) >= 3 and text[0] in LETTERS and text[1:3] == ". ":
        return text[0]
    sentences = SENTENCE.findall(text)
    return sentences[0] if len(sentences) == 1 else None


def _identifier(row: Row) -> str:
    return str(row.identifier("question_id"))


def _with_image(row: Row) -> bool:
    return "<image>" in row.text("prompt")


def _question(data: Path, row: Row) -> Question:
    first = next(row.rows("conversations"), None)
    if first is None:
        raise UserError(f"{row.where}, field 'conversations': an empty list; expected the question and its answer")
    prompt = first.text("value").replace("<image>", "").strip() + "\n" + LETTER_PROMPT
    has_image = "image" in row.values
    return Question(
        row.identifier("id"),
        row.image("image", data / "images" / "test") if has_image else None,
        prompt,
        LONG_ANSWER,
        image_aspect_ratio="square",
        stored_prompt=IMAGE_LINE + prompt if has_image else prompt,
    )
