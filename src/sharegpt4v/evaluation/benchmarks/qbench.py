"""Q-Bench, low-level perception (column QBench): the 1,495 questions of LLVisionQA dev, on how good an image is.

Source: Q-Future/Q-Bench; ShareGPT4V's qbench_eval.py and its script for the answers. The paper reports dev; the answers
to test are with the authors.

Files, in `qbench/`: `llvisionqa_dev.json`, a list of {img_path, question, candidates (two to four texts), correct_ans,
type, concern}; images in `images_llvisionqa/`.

Prompt: question, "Choose between one of the options as follows:", the candidates as "A. ...", and a newline at the very
end. The conversation is ShareGPT4V's own: its system sentence says "human" where Vicuna's says "user". At most 1,024
new tokens. The image is cropped, not padded, as the paper's evaluation does here.

Answers: the official script writes the rows of the question file, each with the `response`, one after another without
line ends; its format_qbench.py puts these in. Rows of {question_id, prompt, text} will do too.

Score: the share of right answers among those given, as in the official scorer. An answer is right when its first
character is the capital letter of the right candidate, or its text before the first blank, or the whole of it, is the
right candidate. Standard error: binomial.

Traps: nothing asks for a letter, and "Blurry" begins with one: it is right as B, or where the right candidate is
"Blurry". A small letter never counts. On an empty answer the official scorer stops; here it is wrong. The official
files have no question ids; here an id is the place in the list, from 0. Others may count otherwise, so an answer is
joined by its prompt, and many images have the same: the image's path tells them apart, or else an id that fits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import LONG_ANSWER, Answer, Item, Question, Score, Submission, percent_score
from sharegpt4v.evaluation.joining import Joined, join
from sharegpt4v.evaluation.reading import Row, find, json_list, json_text, require_some
from sharegpt4v.models.templates import SYSTEM

FILE = "llvisionqa_dev.json"
IMAGES = "images_llvisionqa"
CHOOSE = "Choose between one of the options as follows:"
HUMAN_SYSTEM = SYSTEM.replace("user", "human")


def questions(data: Path) -> list[Question]:
    """Read the question file."""
    return [
        Question(
            number,
            row.image("img_path", data / IMAGES),
            _prompt(row),
            LONG_ANSWER,
            image_aspect_ratio="square",
            system=HUMAN_SYSTEM,
            extra={"img_path": row.text("img_path")},
        )
        for number, row in enumerate(json_list(find(data, FILE)))
    ]


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the official rule."""
    asked, joined = _joined(data, answers)
    items: list[Item] = []
    for number, row in enumerate(asked):
        text, candidates, truth = joined.text(number), row.texts("candidates"), row.text("correct_ans")
        if text is not None:
            right = float(is_right(text, candidates, truth))
            items.append({"question_id": number, "prediction": text, "answer": truth, "score": right})
    if not items:
        raise UserError(f"Q-Bench: no answer to a question of {data / FILE}; expected one for each")
    return percent_score("QBench", [item["score"] for item in items], items, {}, joined.completeness)


def submission(data: Path, answers: Sequence[Answer]) -> Submission:
    """Return the rows of the question file, each with the answer as its `response`, as JSON lines."""
    asked, joined = _joined(data, answers)
    rows = [row.values | {"response": joined.text(number)} for number, row in enumerate(asked) if number in joined.rows]
    return Submission(b"".join(json_text(row) + b"\n" for row in rows), joined.completeness)


def _joined(data: Path, answers: Sequence[Answer]) -> tuple[list[Row], Joined[int | str]]:
    """Return the questions, and the answers by the place of their question; an unknown one has a key of its own."""
    path = find(data, FILE)
    asked = list(json_list(path))
    require_some(len(asked), path, "questions")
    rows = [_answer_row(answer, number) for number, answer in enumerate(answers, start=1)]
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(asked):
        for text in (_prompt(row), row.text("question")):
            places[text.strip()].append(place)
    return asked, join(range(len(asked)), rows, lambda row: _place(row, places, asked))


def _answer_row(answer: Answer, number: int) -> Row:
    """Return an answer row with its `text`, which the official script calls `response`."""
    row = Row.of(answer, f"answers, row {number}")
    return Row(answer | {"text": row.text("response" if "response" in answer else "text")}, row.where)


def _place(answer: Row, places: dict[str, list[int]], asked: Sequence[Row]) -> int | str:
    """Return the place of the question that an answer row belongs to, or, if to none, the place of the row."""
    if "prompt" in answer.values:
        prompt = answer.text("prompt").replace("<image>", "")
    else:
        prompt = _prompt(answer) if "candidates" in answer.values else answer.text("question")
    fitting = places.get(prompt.strip(), [])
    image = answer.values.get("img_path") or answer.values.get("image")
    if isinstance(image, str):
        fitting = [place for place in fitting if PurePath(asked[place].text("img_path")).name == PurePath(image).name]
    identifier = answer.values.get("question_id")
    if identifier in fitting:
        fitting = [identifier]
    if len({asked[place].text("img_path") for place in fitting}) > 1:
        raise UserError(
            f"{answer.where}: {len(fitting)} questions of {FILE} have this prompt; expected 'img_path', which tells "
            "them apart, or the question's place in that file as 'question_id'"
        )
    return fitting[0] if fitting else answer.where


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
