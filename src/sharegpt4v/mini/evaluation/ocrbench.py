"""OCRBench in the synthetic world: the word on a board; every tenth question is on a formula."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.ocrbench import FORMULAS, TSV
from sharegpt4v.mini.evaluation.asking import encoded, picture, scene_about, table_bytes
from sharegpt4v.mini.instructions import SHORT
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import ASPECTS
from sharegpt4v.mini.scene import BACKGROUNDS, Scene

KINDS = (
    "Regular Text Recognition", "Irregular Text Recognition", "Artistic Text Recognition", "Handwriting Recognition",
    "Digit String Recognition", "Non-Semantic Text Recognition", "Scene Text-centric VQA", "Doc-oriented VQA",
    "Key Information Extraction", FORMULAS,
)  # fmt: skip
COLUMNS = ("index", "image", "question", "answer", "category")


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the one file, with `questions` questions, each on a picture of its own."""
    yield TSV, table_bytes(COLUMNS, (_row(number, seed, pixels) for number in range(questions)))


def _row(number: int, seed: int, pixels: int) -> dict[str, object]:
    random = Random(f"{seed}/eval/ocrbench/{number}")
    kind = KINDS[number % len(KINDS)]
    if kind == FORMULAS:
        truth = f"{random.randint(1, 9)} + {random.randint(1, 9)}"
        scene = Scene(random.choice(list(BACKGROUNDS)), word=truth.replace(" ", ""))
    else:
        scene, asked = scene_about("word", random, "open")
        truth = asked.answer
    return {
        "index": number,
        "image": encoded(picture(scene, random, pixels)),
        "question": ASPECTS["word"][0] + SHORT,
        "answer": repr([truth]),
        "category": kind,
    }
