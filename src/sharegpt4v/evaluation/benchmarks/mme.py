"""MME (columns MME-perception and MME-cognition): 2,374 yes/no questions, two for each of 1,187 images.

Source: BradyFU/Awesome-Multimodal-Large-Language-Models, branch Evaluation (eval_tool); the question file and the
join of LLaVA's eval.zip (convert_answer_to_mme.py).

Files, in `MME/`: `llava_mme.jsonl` or `share4v_mme.jsonl` {question_id: path of the image inside the release tree,
image, text}; the release tree `MME_Benchmark_release` or `MME_Benchmark_release_version`, a folder per subtask. Of
the fourteen, five nest `images/` and `questions_answers_YN/`; the others keep image and text side by side. One text
file per image, two lines `question<TAB>Yes|No`.

Answers may also be a folder of the fourteen text files that the official tool scores.

Prompt: the question without its closing "Please answer yes or no.", then "Answer the question using a single word or
phrase."; at most 128 new tokens, padded image.

Score: per subtask 100 times the share of right answers plus 100 times the share of images with both right (at most
200); the columns are the sums over ten and over four subtasks. Only the first four characters of an answer count:
"yes" within them is yes, else "no" is no, else neither. A missing answer is neither. The official tool scores the
lines it is given; what a folder of its files lacks is known from the release tree, or else from the official counts.

Standard error: an image contributes 50 (c1 + c2) + 100 c1 c2, and a subtask's score is the mean of that over its
images; so its variance is their sample variance over their number, and the sum's error is the root of the summed
variances. The two dependent questions of an image are thereby one observation. Where all images of a column are worth
the same, there is no spread to estimate it from.

Traps: "know", "none" and "snow" are read as no, "eyes" as yes; "I think yes" as neither. Some official questions
have two blanks before "Please". A subtask in which no answer can be read scores 0 (the official tool stops there).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.evaluation.base import (
    SINGLE_WORD,
    Answer,
    Completeness,
    Contributions,
    Item,
    Question,
    Score,
    error_of,
    mean,
)
from sharegpt4v.evaluation.joining import count
from sharegpt4v.evaluation.reading import Row, answer_rows, find, short_questions
from sharegpt4v.files import read_text

SUBTASKS = {
    "MME-perception": [
        "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR",
    ],
    "MME-cognition": ["commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"],
}  # fmt: skip
EVERY_SUBTASK = [name for group in SUBTASKS.values() for name in group]
OFFICIAL_QUESTIONS = {"MME-perception": 2114, "MME-cognition": 260}
YES_OR_NO = "Please answer yes or no."

QuestionKey = tuple[str, str, str]
"""Subtask, name of the text file, question as in that file."""


def questions(data: Path) -> list[Question]:
    """Read the question file; images are named by their path inside the release tree."""
    return short_questions(find(data, "share4v_mme.jsonl", "llava_mme.jsonl"), _tree(data))


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the official rule; `parts` holds score, accuracy and accuracy+ of each subtask."""
    truths = _truths(_tree(data))
    answered = [(_key(row, truths), row.text("text")) for row in answer_rows(answers)]
    texts = dict(answered)
    items = [
        _item(f"{subtask}/{file}", question, texts.get((subtask, file, question), ""), truth)
        for (subtask, file, question), truth in truths.items()
    ]
    return _score_of(items, _completeness(truths, [key for key, _ in answered]))


def score_folder(data: Path, folder: Path) -> Score:
    """Score the fourteen text files of the official tool: lines of file, question, truth and answer, apart by tabs.

    As there, two lines that follow each other are one image.
    """
    items: list[Item] = []
    answered: list[tuple[str, ...]] = []
    for subtask in EVERY_SUBTASK:
        path = find(folder, f"{subtask}.txt")
        lines = [line.split("\t") for line in read_text(path).split("\n") if line]
        if not lines or len(lines) % 2:
            raise UserError(f"{path}: {len(lines)} lines; expected two for each image")
        for number, cells in enumerate(lines, start=1):
            if len(cells) != 4 or cells[2].lower() not in ("yes", "no"):
                raise UserError(f"{path}, line {number}: expected file, question, Yes or No, and answer, apart by tabs")
            image, (_, question, truth, text) = lines[(number - 1) // 2 * 2][0], cells
            items.append(_item(f"{subtask}/{image}", question, text, truth.lower()))
            answered.append((subtask, _text_file(cells[0])))
    try:
        asked = [(subtask, file) for subtask, file, _ in _truths(_tree(data))]
    except MissingFile:  # the answers hold the truths, so that they can be scored without
        return _score_of(items, {name: _by_number(name, answered) for name in SUBTASKS})
    return _score_of(items, _completeness(asked, answered))


def _item(image: str, question: str, text: str, truth: str) -> Item:
    prediction = yes_or_no(text)
    right = float(prediction == truth)
    return {"question_id": image, "question": question, "prediction": prediction, "answer": truth, "score": right}


def _completeness(asked: Collection[tuple[str, ...]], answered: Sequence[tuple[str, ...]]) -> dict[str, Completeness]:
    """Count for each column, by keys that begin with the subtask; an answer to no subtask is unknown to both."""
    return {
        column: count(
            (key for key in asked if key[0] in group),
            (key for key in answered if key[0] in group or key[0] not in EVERY_SUBTASK),
        )
        for column, group in SUBTASKS.items()
    }


def _by_number(column: str, answered: Sequence[tuple[str, ...]]) -> Completeness:
    """Count the answers of a column by the number of its official questions alone."""
    expected, given = OFFICIAL_QUESTIONS[column], sum(key[0] in SUBTASKS[column] for key in answered)
    return Completeness(expected, missing=max(0, expected - given), unknown=max(0, given - expected))


def _score_of(items: list[Item], completeness: dict[str, Completeness]) -> Score:
    images: dict[str, list[list[float]]] = defaultdict(list)
    for first, second in zip(items[::2], items[1::2], strict=True):
        images[first["question_id"].split("/")[0]].append([first["score"], second["score"]])
    parts = {subtask: _subtask_score(pairs) for subtask, pairs in images.items()}
    return Score(
        columns={name: math.fsum(parts[subtask]["score"] for subtask in group) for name, group in SUBTASKS.items()},
        n={name: sum(parts[subtask]["questions"] for subtask in group) for name, group in SUBTASKS.items()},
        stderr={name: error for name, groups in contributions(items).items() if (error := error_of(groups))},
        completeness=completeness,
        parts=parts,
        items=items,
    )


def yes_or_no(text: str) -> str:
    """Read an answer as the official tool does: "yes", "no" or "other"."""
    beginning = text.lower()[:4]
    return "yes" if "yes" in beginning else "no" if "no" in beginning else "other"


def _subtask_score(pairs: list[list[float]]) -> dict[str, Any]:
    accuracy = 100 * mean([value for pair in pairs for value in pair])
    accuracy_plus = 100 * mean([min(pair) for pair in pairs])
    return {
        "score": accuracy + accuracy_plus,
        "accuracy": accuracy,
        "accuracy_plus": accuracy_plus,
        "questions": 2 * len(pairs),
    }


def contributions(items: Sequence[Item]) -> Contributions:
    """Return, for each subtask of a column, what each image contributes: 50 (c1 + c2) + 100 c1 c2."""
    images: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        images[item["question_id"].split("/")[0]][item["question_id"]].append(item["score"])
    return {
        column: [{image: 50 * sum(pair) + 100 * min(pair) for image, pair in images[name].items()} for name in subtasks]
        for column, subtasks in SUBTASKS.items()
    }


def _tree(data: Path) -> Path:
    return find(data, "MME_Benchmark_release", "MME_Benchmark_release_version")


def _truths(tree: Path) -> dict[QuestionKey, str]:
    """Read "yes" or "no" for every question of the fourteen subtasks, the two of an image next to each other."""
    truths: dict[QuestionKey, str] = {}
    for subtask in EVERY_SUBTASK:
        folder = find(tree, f"{subtask}/questions_answers_YN", subtask)
        files = sorted(folder.glob("*.txt"))
        if not files:
            raise UserError(f"{folder}: no .txt files; expected the questions and answers of MME's {subtask}")
        for file in files:
            truths |= _truths_of_image(subtask, file)
    return truths


def _truths_of_image(subtask: str, file: Path) -> dict[QuestionKey, str]:
    truths: dict[QuestionKey, str] = {}
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        question, _, truth = line.strip().partition("\t")
        if truth.lower() not in ("yes", "no"):
            raise UserError(f"{file}, line {number}: expected a question, a tab, and Yes or No")
        truths[subtask, file.name, question] = truth.lower()
    if len(truths) != 2:
        raise UserError(f"{file}: {len(truths)} different questions; expected the two of its image")
    return truths


def _text_file(image: str) -> str:
    return image.split(".")[0] + ".txt"


def _key(row: Row, truths: dict[QuestionKey, str]) -> QuestionKey:
    """Find the official question that an answer row belongs to, or would belong to if there were one."""
    path = str(row.identifier("question_id")).split("/")
    subtask, file = path[0], _text_file(path[-1])
    question = row.text("prompt").replace(SINGLE_WORD, "").strip()
    candidates = [question] if YES_OR_NO in question else [f"{question} {YES_OR_NO}", f"{question}  {YES_OR_NO}"]
    for candidate in candidates:
        if (subtask, file, candidate) in truths:
            return subtask, file, candidate
    return subtask, file, candidates[0]
