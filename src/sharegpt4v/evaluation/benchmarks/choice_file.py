"""Multiple choice in VLMEvalKit's tables, each question asked once: what AI2D and RealWorldQA share.

Source: open-compass/VLMEvalKit: the prompt of its LLaVA, and its exact matching, which is that of MMBench without the
rotations. Golden cases in tests/golden/official_scores.json were made by running its matching_util.py on made-up
answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import LONG_ANSWER, Answer, Item, Question, Score, percent_by, percent_score
from sharegpt4v.evaluation.benchmarks.mmbench import LETTER_PROMPT, infer_choice
from sharegpt4v.evaluation.benchmarks.tsv_file import image_of, read_tsv
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.reading import answer_rows, question_number, require_some

MISSING = ("", "nan")  # "None" is an option here
DIRECTLY = "Answer the question directly."  # where a question has no options


def read_questions(path: Path) -> list[Question]:
    """Read one question per row: hint if any, question, options as "A. ...", what is asked for."""
    rows = dict(read_tsv(path, ("question", "image")))
    questions = []
    for index, row in rows.items():
        options = options_of(row)
        lines = [] if row.get("hint", "") in MISSING else [row["hint"]]
        lines += [row["question"], *(f"{letter}. {text}" for letter, text in options.items())]
        prompt = "\n".join([*lines, LETTER_PROMPT if options else DIRECTLY])
        questions.append(Question(index, image_of(path, index, rows), prompt, LONG_ANSWER))
    return questions


def score_rows(path: Path, column: str, answers: Sequence[Answer]) -> Score:
    """Score by the letter that is read from an answer; a missing answer is wrong."""
    asked = dict(read_tsv(path, ("answer",)))
    require_some(len(asked), path, "questions")
    joined = join(asked, answer_rows(answers), question_number)
    items: list[Item] = []
    for index, row in asked.items():
        options = options_of(row)
        truth = row["answer"]
        if truth not in options:
            raise UserError(f"{path}, index {index}, column answer: {truth[:60]!r}; expected an option's letter")
        said = infer_choice(joined.text(index) or "nan", options)
        category = {"category": row["category"]} if "category" in row else {}
        verdict = {"prediction": said, "answer": truth, "score": float(said == truth)}
        items.append({"question_id": index, **category, **verdict})
    parts = {"category": percent_by((item["category"], item["score"]) for item in items if "category" in item)}
    return percent_score(column, [item["score"] for item in items], items, parts, joined.completeness)


def options_of(row: Mapping[str, str]) -> dict[str, str]:
    """Return the options of a row by letter."""
    return {letter: row[letter] for letter in ascii_uppercase if row.get(letter, "") not in MISSING}
