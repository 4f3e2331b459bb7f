"""MMStar (column MMStar): 1,500 multiple-choice questions that need their image, 250 in each of six categories.

Source: MMStar-Benchmark/MMStar, eval/vlmeval (evaluate/mmstar.py and the prompt of its LLaVA). Golden numbers in
tests/golden/official_scores.json were made by running that evaluate/mmstar.py on made-up answers.

Files, in `mmstar/`: `MMStar.tsv` of huggingface.co/datasets/Lin-Chen/MMStar with the columns index, question (which
holds its options), image (base64), answer A-D, category, l2_category, bench.

Prompt: question, then "Answer the question directly."; at most 32 new tokens, padded image.

Score: share of right answers. An answer, lower-cased, stripped and with blanks for newlines, is right when its first
character is the letter, or the letter is next after "(", "option " or "the answer is " at its beginning. A missing or
empty one is wrong. Standard error: binomial.

Traps: "answer A" is read as A, and so is any word that begins with the right letter. The same questions without their
images are the benchmark `mmstar-text`; what the two say together is in `evaluation.leakage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import Answer, Item, Question, Score, percent_by, percent_score
from sharegpt4v.evaluation.benchmarks.tsv_file import questions_of, read_tsv
from sharegpt4v.evaluation.joining import join
from sharegpt4v.evaluation.reading import answer_rows, find, question_number, require_some

TSV = "MMStar.tsv"
DIRECTLY = "Answer the question directly."
LONGEST_ANSWER = 32  # new tokens
BEGINNINGS = ("", "(", "option ", "the answer is ")
LETTERS = ("A", "B", "C", "D")


def questions(data: Path, with_images: bool = True) -> list[Question]:
    """Read one question per row."""
    return questions_of(find(data, TSV), f"\n{DIRECTLY}", LONGEST_ANSWER, with_images)


def score(data: Path, answers: Sequence[Answer], column: str = "MMStar") -> Score:
    """Score by the letter; `parts` holds the accuracy of each category and of what is below it."""
    path = find(data, TSV)
    asked = dict(read_tsv(path, ("answer", "category", "l2_category")))
    require_some(len(asked), path, "questions")
    joined = join(asked, answer_rows(answers), question_number)
    items: list[Item] = []
    for index, row in asked.items():
        if row["answer"] not in LETTERS:
            raise UserError(f"{path}, index {index}, column answer: {row['answer'][:60]!r}; expected A, B, C or D")
        text = joined.text(index)
        items.append(
            {
                "question_id": index,
                "category": row["category"],
                "l2_category": row["l2_category"],
                "prediction": text,
                "answer": row["answer"],
                "score": float(is_right(text or "", row["answer"])),
            }
        )
    parts = {kind: percent_by((item[kind], item["score"]) for item in items) for kind in ("category", "l2_category")}
    return percent_score(column, [item["score"] for item in items], items, parts, joined.completeness)


def is_right(text: str, letter: str) -> bool:
    """Say whether an answer names the letter at its beginning, in one of the official ways."""
    text = text.lower().strip().replace("\n", " ")
    return any(text.startswith(beginning + letter.lower()) for beginning in BEGINNINGS)
