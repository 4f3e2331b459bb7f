"""AI2D in the synthetic world: which object is where in the picture, as a diagram's parts are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from sharegpt4v.evaluation.benchmarks.ai2d import TSV
from sharegpt4v.mini.evaluation.asking import encoded, picture, scene_about, table_bytes
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import CHOICE

ASPECTS = ("position", "existence", "count", "size")


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the one file, with `questions` questions, each on a picture of its own."""
    yield choice_file(TSV, "ai2d", ASPECTS, questions, seed, pixels)


def choice_file(name: str, benchmark: str, aspects: Sequence[str], questions: int, seed: int, pixels: int) -> Member:
    """Return a table of multiple choices about `aspects` in turn."""
    rows = []
    for number in range(questions):
        random = Random(f"{seed}/eval/{benchmark}/{number}")
        scene, asked = scene_about(aspects[number % len(aspects)], random)
        options, letter = asked.options(random)
        rows.append(
            {
                "index": number,
                "question": CHOICE,
                **dict(zip("ABCD", options, strict=False)),
                "answer": letter,
                "image": encoded(picture(scene, random, pixels)),
            }
        )
    return name, table_bytes(("index", "question", *"ABCD", "answer", "image"), rows)
