"""Questions, annotations and answers on which the official scorers were run; see `golden/official_scores.json`.

Drawn from a fixed seed, in the official files: the same bytes wherever they are made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

SHORT = "Answer the question using a single word or phrase."
QUESTIONS = 400
WILD = 60
RUNS = 3
CATEGORIES = ("conv", "detail", "complex")
ANSWERS = (
    "yes", "no", "2", "two", "10", "none", "red", "the red car", "a dog", "Joe's", "joe's bar", "1,000", "3.5",
    "don't", "dont", "couldn't have", "left/right", "t-shirt", "unanswerable", "black & white", "12:30", "cafe", "it's",
)  # fmt: skip
DRESSES = (
    str, str.capitalize, str.upper, lambda text: f"{text}.", lambda text: f" {text}\n", lambda text: f"A {text}",
    lambda text: f"{text}, probably", lambda text: f"{text}!", lambda text: f'"{text}"', lambda text: f"{text}?",
)  # fmt: skip
FLAWS = ("Blurry", "Sharp", "Dark scene", "Noisy", "Yes", "No")
VERDICTS = ("8 6\nFine.", "9 7", "8,9", "8, 9", " 8 9", "10 4\nWell.", "7.5 8", "no idea", "9 9\r\nSo.", "10 10")


def write_cases(folder: Path) -> None:
    """Write the official folders below `folder`, and in each `answers.jsonl`."""
    random = Random(20240512)
    _vqav2(folder / "vqav2", random)
    _vizwiz(folder / "vizwiz", random)
    _textvqa(folder / "textvqa", random)
    _qbench(folder / "qbench", random)
    _llava_bench(folder / "llava-bench-in-the-wild", random)


def replies_of(run: int) -> list[str]:
    """The judge's replies of one run of LLaVA-Bench, in the order of the questions."""
    random = Random(f"verdicts {run}")
    return [random.choice(VERDICTS) for _ in range(WILD)]


def _ten(random: Random) -> list[str]:
    truth, other = random.sample(ANSWERS, 2)
    others = random.choice((0, 0, 0, 1, 3, 6, 7, 8))
    people = [truth] * (10 - others) + [random.choice((other, random.choice(ANSWERS))) for _ in range(others)]
    random.shuffle(people)
    return people


def _said(random: Random, people: Sequence[str]) -> str:
    return str(random.choice(DRESSES)(random.choice((*people, random.choice(ANSWERS)))))


def _vqav2(folder: Path, random: Random) -> None:
    asked, annotated, answers = [], [], []
    for number in range(QUESTIONS):
        people = _ten(random)
        asked.append({"question_id": number, "image_id": number, "question": f"What is {number}?"})
        annotated.append({
            "question_id": number, "image_id": number, "question_type": random.choice(("what", "how many", "is this")),
            "answer_type": random.choice(("other", "number", "yes/no")), "multiple_choice_answer": people[0],
            "answers": [{"answer": one, "answer_confidence": "yes", "answer_id": n} for n, one in enumerate(people, 1)],
        })  # fmt: skip
        answers.append({"question_id": number, "prompt": "", "text": _said(random, people)})
    about = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": "val2014"}
    _json(
        folder / "v2_OpenEnded_mscoco_val2014_questions.json", about | {"task_type": "Open-Ended", "questions": asked}
    )
    _json(folder / "v2_mscoco_val2014_annotations.json", about | {"annotations": annotated})
    _lines(folder / "answers.jsonl", answers)


def _vizwiz(folder: Path, random: Random) -> None:
    annotated, asked, answers = [], [], []
    for number in range(QUESTIONS):
        people, image = _ten(random), f"VizWiz_val_{number:08d}.jpg"
        annotated.append({
            "image": image, "question": "What is it?", "answers": [{"answer": one} for one in people],
            "answer_type": random.choice(("other", "number", "unanswerable")), "answerable": 1,
        })  # fmt: skip
        asked.append({"question_id": number, "image": image, "text": f"What is it?\n{SHORT}"})
        answers.append({"question_id": number, "prompt": "", "text": _said(random, people)})
    _json(folder / "val.json", annotated)
    _lines(folder / "llava_val.jsonl", asked)
    _lines(folder / "answers.jsonl", answers)


def _textvqa(folder: Path, random: Random) -> None:
    data, answers = [], []
    for number in range(QUESTIONS):
        people, image, question = _ten(random), f"i{number // 2}", f"What is {number}?"
        data.append({"image_id": image, "question": question, "answers": people})
        prompt = f"{question}\nReference OCR token: {number}\n{SHORT}"
        answers.append({"question_id": image, "prompt": prompt, "text": _said(random, people)})
    _json(folder / "TextVQA_0.5.1_val.json", {"data": data})
    _lines(folder / "answers.jsonl", answers)


def _qbench(folder: Path, random: Random) -> None:
    """The answers stand one after another, as the official script writes them; many questions have the same prompt."""
    rows, answers = [], ""
    for number in range(QUESTIONS):
        candidates = random.sample(FLAWS, random.randint(2, 4))
        row: dict[str, Any] = {"img_path": f"{number:05d}.jpg", "question": "How is it?", "candidates": candidates}
        row |= {"correct_ans": random.choice(candidates), "type": 0, "concern": 0}
        response = random.choice(
            (*"ABCD", "A.", "B. ", "b", row["correct_ans"], f"{row['correct_ans']} it is", "Because")
        )
        rows.append(row)
        answers += json.dumps(row | {"response": response})
    _json(folder / "llvisionqa_dev.json", rows)
    (folder / "answers.jsonl").write_text(answers)


def _llava_bench(folder: Path, random: Random) -> None:
    asked = [
        {"question_id": n, "image": f"{n:03d}.jpg", "category": random.choice(CATEGORIES), "text": f"What is {n}?"}
        for n in range(WILD)
    ]
    _lines(folder / "questions.jsonl", asked)
    _lines(folder / "context.jsonl", [{"image": row["image"], "caption": f"It is {row['text']}"} for row in asked])
    for name in ("answers_gpt4.jsonl", "answers.jsonl"):
        rows = [{"question_id": n, "prompt": "", "text": f"{name} {n}", "answer_id": f"{name}{n}"} for n in range(WILD)]
        _lines(folder / name, rows)
    rules = {f"llava_bench_{name}": {"role": "Assistant", "prompt": "Rate."} for name in CATEGORIES}
    _json(folder / "rule.json", rules)


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
