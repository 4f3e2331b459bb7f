"""Questions and answers of the benchmarks that the paper does not report, on which the official scorers were run.

See `golden/official_more_scores.json`. Drawn from a fixed seed, in the official files: the same bytes wherever they are
made. Images are not needed to score.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from sharegpt4v.evaluation.benchmarks.pope import SETS

LETTERS = "ABCD"
CATEGORIES = {
    "coarse perception": ("image scene and topic", "image style & quality", "image emotion"),
    "fine-grained perception": ("object counting", "recognition", "localization"),
    "instance reasoning": (
        "single-instance reasoning", "cross-instance attribute reasoning", "cross-instance relation reasoning",
    ),
    "logical reasoning": ("code & sequence reasoning", "diagram reasoning", "common reasoning"),
    "science & technology": (
        "biology & chemistry & physics", "electronics & energy & mechanical eng.",
        "geography & earth science & agriculture",
    ),
    "math": ("geometry", "numeric commonsense and calculation", "statistical reasoning"),
}  # fmt: skip
"""MMStar's, of 250 questions each."""
NAMED = (
    "{}", "({})", "({}) is right", "{}.", "{}: the dog", " {}\n", "\n({})", "Option {}", "option {} fits",
    "The answer is {}", "The answer is ({})", "The answer is: {}",
    "the correct answer is **{}**", "I would say {}", "Both, but {} more",
    "It is option {}, not D", "A dog", "", "nothing", "Because of the light", "{} or D", "Sorry, {}", "(\n{})",
    "Cannot determine the answer", "A {} is here in front of the other things", "**{}**", "[{}]", "Z",
)  # fmt: skip
SAYS = (
    "Yes", "No", "yes", "no", "Yes.", "No.", "No, there is not", "Yes, there is no doubt", "There is a dog. No.", "NO",
    "nope", "there is not", "It is not, no", "Yes, not no", "none", "no,yes", "yes/no", "", "I know", "not.Yes", "no\n",
    "There is,no cat", "Well-no", "yes!", "Yes\nit is",
)  # fmt: skip
WORDS = ("STOP", "Cafe Bar", "12", "3.5", "a b\nc", "x + y", "\\frac { 1 } { 2 }", "é", "No. 5")
NUMBERS = (
    "12", "12.0", "12.5", "11.4", "12.6", "12.7", "0", "0.0", "0.12", "12%", "12 %", "1,000", "1000", "-12", "-11.5",
    "1e3", "nan", "inf", "Yes", "yes", " red", "red ", "Red", "2015", "2016", "2200",
)  # fmt: skip
DRESSES: tuple[Callable[[str], str], ...] = (
    str.lower, str.upper, lambda text: f"It says {text}.", lambda text: text.replace(" ", ""),
)  # fmt: skip
OPEN = (
    "The result is {}", "{}", "{}.", "So x = {}", "it could be {}", "Therefore the answer is:\n{}", "about {} meters",
    "{} is final", "the sum 3 + 4 = {}", "No idea", "", "1,2 and {}", "Answer = {}\nbecause it is so", "is ",
)  # fmt: skip
TRUTHS = ("5", "5.00", "0.333", "1,250", "3.5e4", "-7", "x", "transporter", "['Yes', 'no']", "['12', '12.004']")
CHOSEN = (
    "{}", "({})", "({}) and not (A)", "A or {}", "{}.", "The answer is {}.", "I think it is ({}), not ({}).", " {} , A",
    "'{}'", "it is ({})\n", "The picture shows here, as one can see, a <> thing",
)  # fmt: skip


Rows = list[dict[str, Any]]


def write_more_cases(folder: Path) -> None:
    """Write the official folders below `folder`, and in each `answers.jsonl`."""
    _mmstar(folder / "mmstar")
    _pope(folder / "pope")
    for name, file in (("ai2d", "AI2D_TEST.tsv"), ("realworldqa", "RealWorldQA.tsv")):
        _choices(folder / name, file)
    _ocrbench(folder / "ocrbench")
    _chartqa(folder / "chartqa")
    _hallusion(folder / "hallusion_bench")
    _mmmu(folder / "mmmu")


def _mmstar(folder: Path) -> None:
    random, rows, answers = Random("mmstar"), Rows(), Rows()
    for category, below in CATEGORIES.items():
        for _ in range(250):
            letter, index = random.choice(LETTERS), len(rows)
            rows.append(dict(zip(
                ("index", "question", "image", "answer", "category", "l2_category", "bench"),
                (index, "Which?", "eA==", letter, category, random.choice(below), "drawn"), strict=True,
            )))  # fmt: skip
            answers.append(_answer(index, random.choice(NAMED).format(random.choice((letter, random.choice(LETTERS))))))
    _table(folder / "MMStar.tsv", rows)
    lines(folder / "answers.jsonl", answers)


def _pope(folder: Path) -> None:
    """The labels of the official scorer are in the order of the answers, which alone joins them there."""
    random, asked, answers = Random("pope"), Rows(), Rows()
    for name in SETS:
        labels = Rows()
        for number in range(120):
            about = {"image": f"COCO_val2014_{number // 6:012d}.jpg", "text": f"Is there a thing {number} in it?"}
            labels.append({"question_id": number + 1, **about, "label": random.choice(("yes", "no"))})
            text = f"{about['text']}\nAnswer the question using a single word or phrase."
            asked.append({"question_id": len(asked), "image": about["image"], "text": text, "category": name})
            said = {"yes": "Yes", "no": "No"}[labels[-1]["label"]]
            answers.append(_answer(len(answers), random.choice((said, random.choice(SAYS)))))
        lines(folder / f"coco/coco_pope_{name}.json", labels)
    lines(folder / "llava_pope_test.jsonl", asked)
    lines(folder / "answers.jsonl", answers)


def _choices(folder: Path, file: str) -> None:
    random, rows, answers = Random(file), [], []
    for index in range(300):
        options = random.sample(("a dog", "a red dog", "cat", "12", "none", "the light", "A"), random.choice((2, 3, 4)))
        row: dict[str, Any] = {"index": index, "question": "Which?", "hint": "", **dict.fromkeys(LETTERS, "")}
        row |= dict(zip(LETTERS, options, strict=False))
        letter = random.choice(LETTERS[: len(options)])
        said = (row[letter], f"It is {row[letter]}", random.choice(options), random.choice(NAMED).format(letter))
        rows.append(row | {"answer": letter, "category": random.choice(("x", "y")), "image": "eA=="})
        answers.append(_answer(index, random.choice((*said, said[-1]))))
    _table(folder / file, rows)
    lines(folder / "answers.jsonl", answers)


def _ocrbench(folder: Path) -> None:
    random, rows, answers = Random("ocrbench"), [], []
    kinds = (
        "Regular Text Recognition", "Irregular Text Recognition", "Artistic Text Recognition",
        "Handwriting Recognition", "Digit String Recognition",
        "Non-Semantic Text Recognition", "Scene Text-centric VQA", "Doc-oriented VQA",
        "Key Information Extraction", "Handwritten Mathematical Expression Recognition",
    )  # fmt: skip
    for index in range(1000):
        truths = random.sample(WORDS, random.choice((1, 1, 2)))
        said = random.choice((*truths, *truths, random.choice(WORDS)))
        for dress in random.sample(DRESSES, 2):
            said = random.choice((said, dress(said)))
        rows.append(dict(zip(
            ("index", "image", "question", "answer", "category"),
            (index, "eA==", "What is written?", repr(truths), kinds[index % 10]), strict=True,
        )))  # fmt: skip
        answers.append(_answer(index, said))
    _table(folder / "OCRBench.tsv", rows)
    lines(folder / "answers.jsonl", answers)


def _chartqa(folder: Path) -> None:
    random, rows, answers = Random("chartqa"), [], []
    for index in range(600):
        truth, split = random.choice(NUMBERS), random.choice(("test_human", "test_augmented", "test_augmented"))
        rows.append({"index": index, "question": "How?", "answer": truth, "image": "eA==", "split": split})
        answers.append(_answer(index, random.choice((truth, *random.sample(NUMBERS, 2)))))
    _table(folder / "ChartQA_TEST.tsv", rows)
    lines(folder / "answers.jsonl", answers)


def _hallusion(folder: Path) -> None:
    random, rows, answers = Random("hallusion"), [], []
    for number in range(60):
        category, subcategory = random.choice((("VD", "figure"), ("VD", "ocr"), ("VS", "ocr"), ("VS", "chart")))
        for figure in range(random.choice((1, 2, 3))):
            for question in range(random.choice((1, 2))):
                blind = category == "VS" and figure == 0
                about = (category, subcategory, str(number), str(figure), str(question))
                names = ("category", "subcategory", "set_id", "figure_id", "question_id")
                truth = random.choice("01")
                name = None if blind else f"./{category}/{subcategory}/{number}_{figure}.png"
                rows.append({
                    **dict(zip(names, about, strict=True)), "visual_input": str(int(not blind)), "question": "Is it?",
                    "gt_answer": truth, "gt_answer_details": "", "filename": name, "sample_note": "",
                })  # fmt: skip
                if not blind:
                    said = ("No", "Yes")[int(truth)]
                    answers.append(_answer("/".join(about), random.choice((said, said, said, random.choice(SAYS)))))
    folder.mkdir(parents=True)
    (folder / "HallusionBench.json").write_text(json.dumps(rows))
    lines(folder / "answers.jsonl", answers)


def _mmmu(folder: Path) -> None:
    """Every answer to a multiple choice names a choice, or the official script would guess."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random, answers = Random("mmmu"), []
    for subject in ("Accounting", "Art_Theory", "Math"):
        rows = []
        for number in range(1, 81):
            options = random.sample(("$6", "$7", "a house", "a large house", "Project A", "none of these"), 4)
            if is_open := number % 3 == 0:
                truth = random.choice(TRUTHS)
                form, first = random.choice(OPEN), truth.strip("[']").split("'")[0]
                said = form.format(random.choice((first, "4", "Transporters")))
            else:
                truth = random.choice(LETTERS)
                letter = random.choice((truth, random.choice(LETTERS)))
                text = options[LETTERS.index(letter)]
                said = random.choice(CHOSEN).replace("{}", letter).replace("<>", text)
            rows.append({
                "id": f"validation_{subject}_{number}", "question": "<image 1> Which?", "answer": truth,
                "options": repr([] if is_open else options), "question_type": "open" if is_open else "multiple-choice",
            })  # fmt: skip
            answers.append(_answer(rows[-1]["id"], said))
        (folder / subject).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / subject / "validation-00000-of-00001.parquet")
    lines(folder / "answers.jsonl", answers)


def _answer(identifier: int | str, text: str) -> dict[str, Any]:
    return {"question_id": identifier, "prompt": "", "text": text}


def _table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
