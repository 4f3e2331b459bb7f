"""MMBench, dev 20230712 (column MMBench): 1,176 questions, asked in every rotation of their options (4,377 rows).

Source: open-compass/MMBench; LLaVA's model_vqa_mmbench.py for the prompt; open-compass/VLMEvalKit for the scoring
(circular evaluation with exact matching), which gives LLaVA-1.5-13B's published 67.7 from its published answers.

Files, in `mmbench/`: `mmbench_dev_20230712.tsv` with the columns index, question, hint, A, B, C, D, answer, category,
image (base64, or the index of the row that has it), source, l2-category, comment, split. Rotation r of a question has
its index plus r million.

Prompt: hint if any, question, options as "A. ...", then "Answer with the option's letter from the given choices
directly."; at most 1,024 new tokens, padded image. The stored prompt lacks that last sentence. Options end at the
first missing one.

Score: a question is right when the letter read from the answer is right in every one of its rows; the column is the
share of right questions. Standard error: binomial, over questions, not rows.

Traps: rounds are not options (53 questions with four options have three rounds), so rows are grouped by index. Plain
accuracy over the first rows is some eight points higher and is not this column. A missing or empty prediction is read
as the text "nan", as from the empty spreadsheet cell it becomes in the official route. Cells "none" and "nan" count as
missing in any case; other cells that spreadsheet readers take for missing, such as "NA", are kept as texts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import LONG_ANSWER, Answer, Item, Question, Score, Submission, percent_by, percent_score
from sharegpt4v.evaluation.benchmarks.mmbench_file import LETTERS, spreadsheet
from sharegpt4v.evaluation.benchmarks.tsv_file import image_of, is_missing, read_tsv
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.reading import answer_rows, find, question_number, require_some

TSV = "mmbench_dev_20230712.tsv"
LETTER_PROMPT = "Answer with the option's letter from the given choices directly."
ROUND = 1_000_000

FAILED_CALL = "Failed to obtain answer via API"
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
SENTENCE = re.compile(r"(?:correct\s+)?answer\s+is\s+\**([ABCD])", re.IGNORECASE)


def questions(data: Path) -> list[Question]:
    """Read one question per row, rotations included."""
    return read_questions(find(data, TSV), LETTER_PROMPT)


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by circular exact matching."""
    return score_rows(find(data, TSV), "MMBench", answers)


def submission(data: Path, answers: Sequence[Answer]) -> Submission:
    """Return the spreadsheet that the evaluation server takes."""
    return spreadsheet(find(data, TSV), answers)


def read_questions(path: Path, closing: str) -> list[Question]:
    """Read the questions of a file in MMBench's format; `closing` is the last line of the prompt."""
    rows = dict(read_tsv(path, ("question", "hint", *LETTERS, "image")))
    questions = []
    for index, row in rows.items():
        options = options_in_order(row)
        lines = [] if is_missing(row["hint"]) else [row["hint"]]
        lines += [row["question"], *(f"{letter}. {text}" for letter, text in options.items())]
        questions.append(
            Question(
                index,
                image_of(path, index, rows),
                "\n".join([*lines, closing]),
                LONG_ANSWER,
                stored_prompt="\n".join(lines),
                extra={"round_id": 0, "options": list(options.values()), "option_char": list(options)},
            )
        )
    return questions


def score_rows(path: Path, column: str, answers: Sequence[Answer]) -> Score:
    """Score answers to a file in MMBench's format; `parts` holds the accuracy of each category and ability."""
    groups: dict[int, dict[int, dict[str, str]]] = defaultdict(dict)
    for index, row in read_tsv(path, (*LETTERS, "answer", "category", "l2-category")):
        if row["answer"] not in _choices(row):
            raise UserError(f"{path}, index {index}, column answer: {row['answer']!r}; expected an option's letter")
        groups[index % ROUND][index] = row
    joined = join((index for rows in groups.values() for index in rows), answer_rows(answers), question_number)
    items: list[Item] = []
    for base, rows in groups.items():
        if base not in rows:
            continue  # as VLMEvalKit does: rotations without their question are not scored
        letters = [infer_choice(joined.text(index) or "nan", _choices(row)) for index, row in rows.items()]
        truths = [row["answer"] for row in rows.values()]
        items.append(
            {
                "question_id": base,
                "category": rows[base]["category"],
                "l2-category": rows[base]["l2-category"],
                "prediction": letters,
                "answer": truths,
                "score": float(letters == truths),
            }
        )
    require_some(len(items), path, "questions")
    parts = {kind: percent_by((item[kind], item["score"]) for item in items) for kind in ("l2-category", "category")}
    return percent_score(column, [item["score"] for item in items], items, parts, joined.completeness)


def infer_choice(text: str, choices: Mapping[str, str]) -> str | None:
    """Read an option's letter from an answer: by letter, else by sentence, else by the option's own text.

    "Z" stands for a refusal. `choices` are the available options by letter. None when nothing can be read.
    """
    return _infer_letter(text, choices) or _infer_by_text(text, choices)


def _infer_letter(text: str, choices: Mapping[str, str]) -> str | None:
    if FAILED_CALL in text:
        return None
    if any(refusal in text for refusal in REFUSALS):
        return "Z"
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", text).split()
    named = [letter for letter in choices if letter in words]
    # A letter is believed only among the last four words, as far as its first occurrence goes.
    if len(named) == 1 and words.index(named[0]) > len(words) - 5:
        return named[0]
    if not named and "Z" in words:
        return "Z"
    sentence = SENTENCE.search(text)
    if sentence and sentence[1].upper() in choices:
        return sentence[1].upper()
    return None


def _infer_by_text(text: str, choices: Mapping[str, str]) -> str | None:
    if len(text.lower()) > 2 * sum(len(option) for option in choices.values()):
        return None
    named = [letter for letter, option in choices.items() if option.lower() in text.lower()]
    return named[0] if len(named) == 1 else None


def options_in_order(row: Mapping[str, str]) -> dict[str, str]:
    """Return the options of a row by letter, up to the first missing one."""
    options: dict[str, str] = {}
    for letter in LETTERS:
        if is_missing(row[letter]):
            break
        options[letter] = row[letter]
    return options


def _choices(row: Mapping[str, str]) -> dict[str, str]:
    return {letter: row[letter] for letter in LETTERS if not is_missing(row[letter])}
