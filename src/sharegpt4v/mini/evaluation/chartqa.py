"""ChartQA in the synthetic world: what is counted and which colour it has, half as "people" ask and half as "made"."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.chartqa import TSV
from sharegpt4v.mini.evaluation.asking import encoded, picture, scene_about, table_bytes
from sharegpt4v.mini.packing import Member

COLUMNS = ("index", "question", "answer", "image", "split")
ASPECTS = ("colour", "count")


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the one file, with `questions` questions, each on a picture of its own."""
    yield TSV, table_bytes(COLUMNS, (_row(number, seed, pixels) for number in range(questions)))


def _row(number: int, seed: int, pixels: int) -> dict[str, object]:
    random = Random(f"{seed}/eval/chartqa/{number}")
    scene, asked = scene_about(ASPECTS[number // 2 % len(ASPECTS)], random, "open")
    return {
        "index": number,
        "question": asked.question,
        "answer": asked.answer,
        "image": encoded(picture(scene, random, pixels)),
        "split": ("test_human", "test_augmented")[number % 2],
    }
