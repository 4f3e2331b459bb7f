"""MMMU, validation (column MMMU): 900 questions of college exams in 30 subjects, with choices or open.

Source: MMMU-Benchmark/MMMU: prompt and choice of image of its run_llava.py with configs/llava1.5.yaml, and
utils/eval_utils.py for the scoring. Golden numbers in tests/golden/official_scores.json were made by running that file
on made-up answers; it also reads the 1,800 published answers of mmmu/example_outputs (LLaVA-1.5-13B, Qwen-VL) as is
done here.

Files, in `mmmu/`: the validation split of huggingface.co/datasets/MMMU/MMMU, a folder per subject with
`validation-*.parquet` {id, question, options (a list of texts as Python writes it), answer, image_1 to image_7,
question_type: multiple-choice or open}.

Prompt: question, options as "(A) ...", a blank line, then "Answer with the option's letter from the given choices
directly."; of an open question, "Answer the question using a single word or phrase."; at most 128 new tokens, padded
image. As there, the model is shown the first image alone, and the marks of the others stay in the text.

Score: share of right answers; `parts` holds each subject. A choice is read as "(A)", else "A" as a word, else, in more
than five words, by the text of an option; of several the last. Where none can be read the official script guesses by
chance: here that is worth what the guess is on average, 1 / options. An open answer is right when one of its parts is
the number, rounded to two digits, or contains the text. A missing answer is wrong. Standard error: sample standard
deviation.

Traps: only the 128 tokens and greedy decoding are of this project; the official run samples with five beams.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import (
    SHORT_ANSWER,
    SINGLE_WORD,
    Answer,
    Item,
    Question,
    Score,
    percent_by,
    percent_score,
    sample_error,
)
from sharegpt4v.evaluation.benchmarks.mmbench import LETTER_PROMPT
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.reading import Row, answer_rows, find

FILES = "*/validation-*.parquet"
CHOICE = "multiple-choice"
INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
MARKS = (":", ",", ".", "!", "?", ";", ":", "'")
NUMBERS = (
    r"-?\b\d{1,3}(?:,\d{3})+\b",
    r"-?\d+(?:\.\d+)?[eE][+-]?\d+",
    r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])",
)
"""With commas, in scientific notation, and all others."""


def questions(data: Path) -> list[Question]:
    """Read one question per row, subject by subject."""
    found = []
    for row in _rows(data, ("question", "options", "question_type", "image_1")):
        image = row.row("image_1").values.get("bytes")
        if not isinstance(image, bytes):
            raise UserError(f"{row.where}, field 'image_1': no bytes; expected an image inside the file")
        lines = [row.text("question")]
        if row.text("question_type") == CHOICE:
            lines += [f"({letter}) {option}" for letter, option in _options(row).items()]
            lines += ["", LETTER_PROMPT]
        else:
            lines.append(SINGLE_WORD)
        found.append(Question(row.text("id"), image, "\n".join(lines), SHORT_ANSWER))
    return found


def score(data: Path, answers: Sequence[Answer]) -> Score:
    """Score by the official rule."""
    asked = {row.text("id"): row for row in _rows(data, ("options", "question_type", "answer"))}
    joined = join(asked, answer_rows(answers), lambda row: str(row.identifier("question_id")))
    items: list[Item] = []
    for key, row in asked.items():
        text, truth = joined.text(key), row.text("answer")
        prediction: str | None = text
        if row.text("question_type") == CHOICE:
            options = _options(row)
            prediction = None if text is None else read_choice(text, options)
            value = float(prediction == truth)
            if text is not None and prediction is None:
                value = 1 / len(options)
        else:
            value = float(text is not None and is_right(text, _truths(truth)))
        subject = "_".join(key.split("_")[1:-1])
        items.append(
            {"question_id": key, "subject": subject, "prediction": prediction, "answer": truth, "score": value}
        )
    parts = {"subject": percent_by((item["subject"], item["score"]) for item in items)}
    return percent_score("MMMU", [item["score"] for item in items], items, parts, joined.completeness, sample_error)


def read_choice(text: str, options: Mapping[str, str]) -> str | None:
    """Read an option's letter from an answer; None where the official script would guess."""
    for mark in (",", ".", "!", "?", ";", ":", "'"):
        text = text.strip(mark)
    text = f" {text} "
    for form in ("({})", " {} "):
        named = {letter: text.rfind(form.format(letter)) for letter in options if form.format(letter) in text}
        if named:
            return max(named, key=lambda letter: named[letter])
    lowered = text.lower()
    if len(text.split()) <= 5:
        return None
    named = {letter: lowered.rfind(option.lower()) for letter, option in options.items() if option.lower() in lowered}
    return max(named, key=lambda letter: named[letter]) if named else None


def is_right(text: str, truths: Sequence[str]) -> bool:
    """Say whether an open answer is one of the truths: a number in it is equal, or a part of it contains the text."""
    wanted = [one for truth in truths for one in _normalised(truth)]
    said = [one for part in _parts_of(text) for one in _normalised(part)]
    return any(
        any(isinstance(one, str) and one in part for one in wanted) if isinstance(part, str) else part in wanted
        for part in said
    )


def _parts_of(text: str) -> list[str]:
    """Return what may be the answer in a text: the end of each line that announces one, and the numbers in those."""
    lines = text.strip().strip(".").lower().split("\n")
    keys = []
    for number, line in enumerate(lines):
        indicators = (*INDICATORS, "=") if number == len(lines) - 1 else INDICATORS
        ends = [line.split(indicator)[-1].strip() for indicator in indicators if indicator in line]
        shortest = ""
        for end in ends:  # as there: an empty one is replaced by the next
            shortest = end if not shortest or len(end) < len(shortest) else shortest
        if shortest and shortest not in MARKS:
            keys.append(shortest)
    keys = keys or [text.strip().strip(".").lower()]
    return [*keys, *(number for key in keys for pattern in NUMBERS for number in re.findall(pattern, key))]


def _normalised(text: str) -> list[str | float]:
    """Return a text as the number it is, rounded to two digits, or in lower case; one letter with a blank beside it."""
    text = text.strip()
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        text = text.lower()
        return [f" {text}", f"{text} "] if len(text) == 1 else [text]
    return [round(number, 2)]


def _rows(data: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of all subjects, with `id` and `columns`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(data.glob(FILES))
    if not files:
        find(data, FILES)  # says what is missing
    for path in files:
        try:
            rows = pq.read_table(path, columns=["id", *columns]).to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: not read ({reason}); expected MMMU's columns id, {', '.join(columns)}") from None
        for number, row in enumerate(rows, start=1):
            yield Row.of(row, f"{path}, row {number}")


def _options(row: Row) -> dict[str, str]:
    options = _list_in(row.text("options"))
    if not options:
        raise UserError(f"{row.where}, field 'options': no list of texts; expected the options")
    return {chr(ord("A") + place): option for place, option in enumerate(options)}


def _truths(cell: str) -> list[str]:
    return _list_in(cell) or [cell]


def _list_in(cell: str) -> list[str]:
    """Return the list that a cell holds as Python writes it; empty where it is something else."""
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return [str(one) for one in found] if isinstance(found, list) else []
