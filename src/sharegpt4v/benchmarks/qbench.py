"""Q-Bench, low-level perception (column QBench): the 1,495 questions of LLVisionQA dev, on how good a picture is.

Source: Q-Future/Q-Bench; ShareGPT4V's qbench_eval.py and its script for the answers. The paper reports dev; the answers
to test are with the authors.

Files, in `qbench/`: `llvisionqa_dev.json`, a list of {img_path, question, candidates (two to four texts), correct_ans,
type, concern}; images in `images_llvisionqa/`.

Prompt: question, "Choose between one of the options as follows:", the candidates as "A. ...", and a newline at the very
end. The conversation is ShareGPT4V's own: its system sentence says "human" where Vicuna's says "user". At most 1,024
new tokens. The image is cropped, not padded, as the paper's evaluation does here.

Score: the share of right answers. An answer is right when its first character is the capital letter of the right
candidate, or its text before the first blank, or the whole of it, is the right candidate. Standard error: binomial.

Traps: nothing asks for a letter, and "Blurry" begins with one: it is right as B, or where the right candidate is
"Blurry". A small letter never counts. On an empty answer the official scorer stops; here it is wrong. The official
files have no question ids; here an id is the place in the list, from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.benchmarks.base import LONG_ANSWER, Answer, Item, Question, Score, percent_score
from sharegpt4v.benchmarks.reading import (
    Row,
    find,
    json_list,
    json_text,
    latest_text,
    question_number,
    require_all,
    require_some,
)
from sharegpt4v.training.conversation import SYSTEM

FILE = "llvisionqa_dev.json"
IMAGES = "images_llvisionqa"
CHOOSE = "Choose between one of the options as follows:"
HUMAN_SYSTEM = SYSTEM.replace("user", "human")


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    return [
        Question(
            number,
            data / IMAGES / row.text("img_path"),
            _prompt(row),
            LONG_ANSWER,
            image_aspect_ratio="square",
            system=HUMAN_SYSTEM,
        )
        for number, row in enumerate(json_list(find(data, FILE)))
    ]


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the official rule."""
    path = find(data, FILE)
    rows = list(json_list(path))
    require_some(len(rows), path, "questions")
    texts = latest_text(answers, question_number)
    require_all(range(len(rows)), texts, "Q-Bench")
    items: list[Item] = [
        {
            "question_id": number,
            "prediction": texts[number],
            "answer": row.text("correct_ans"),
            "score": float(is_right(texts[number], row.texts("candidates"), row.text("correct_ans"))),
        }
        for number, row in enumerate(rows)
    ]
    return percent_score("QBench", [item["score"] for item in items], items, parts={})


def submission(data: Path, answers: Sequence[Answer]) -> bytes:
    """Return the rows of the question file, each with the answer as its `response`, as JSON lines."""
    rows = list(json_list(find(data, FILE)))
    texts = latest_text(answers, question_number)
    require_all(range(len(rows)), texts, "Q-Bench")
    return b"".join(json_text(row.values | {"response": texts[number]}) + b"\n" for number, row in enumerate(rows))


def is_right(text: str, candidates: Sequence[str], truth: str) -> bool:
    """Say whether an answer is right: by its first character, by its first word, or as a whole."""
    lettered = {letter_of(place): candidate for place, candidate in enumerate(candidates)}
    return bool(text) and truth in (lettered.get(text[0]), text.split(" ")[0], text)


def letter_of(place: int) -> str:
    """Return the letter of the candidate at `place`."""
    return chr(ord("A") + place)


def _prompt(row: Row) -> str:
    lines = [row.text("question"), CHOOSE]
    lines += [f"{letter_of(place)}. {candidate}" for place, candidate in enumerate(row.texts("candidates"))]
    return "\n".join(lines) + "\n"
