"""What the mini benchmarks share: a scene that answers a wanted question, its picture, annotators, files as bytes."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import orjson

from sharegpt4v.mini.draw import draw, jpeg_bytes
from sharegpt4v.mini.questions import ASPECTS, Asked, ask_all
from sharegpt4v.mini.scene import FLAWS, NAMED_SOURCES, Scene, sample_scene

SOURCE_OF = {"word": "textvqa"} | {kind: source for source, kind in NAMED_SOURCES.items()}
OBJECT_ASPECTS = ("colour", "existence", "count", "position", "scene", "size")


def scene_about(aspect: str, random: Random, form: str = "yes/no") -> tuple[Scene, Asked]:
    """Draw a scene, and a question on it that can be asked in `form`, about an aspect of `questions.ASPECTS`."""
    if aspect not in ASPECTS:
        raise ValueError(f"no aspect {aspect!r}; expected one of {', '.join(ASPECTS)}")
    while True:
        scene = sample_scene(SOURCE_OF.get(aspect, "coco"), random)
        if aspect == "quality":
            scene = replace(scene, flaw=random.choice(FLAWS))
        for asked in ask_all(scene, random):
            if asked.aspect == aspect and form in asked.forms:
                return scene, asked


def open_or_claim(asked: Asked, claim: bool, random: Random) -> tuple[str, str, list[str]]:
    """Return the open question or its yes/no form, the true answer, and the wrong ones."""
    if not claim:
        return asked.question, asked.answer, [choice for choice in asked.choices if choice != asked.answer]
    question, truth = asked.yes_no(random, truth=random.random() < 0.5)
    return question, truth, ["no" if truth == "yes" else "yes"]


def picture(scene: Scene, random: Random, pixels: int) -> bytes:
    """The JPEG of a scene, `pixels` wide and high."""
    return jpeg_bytes(draw(scene, random, pixels))


def annotators(truth: str, others: Sequence[str], random: Random) -> list[str]:
    """Ten people's answers in random order: `truth`, but up to three of the ten say one of `others`."""
    strays = random.choice((0, 0, 1, 2, 3))
    answers = [truth] * (10 - strays) + [random.choice(others) for _ in range(strays)]
    random.shuffle(answers)
    return answers


def table_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """Rows as a table with tabs, as MMBench and VLMEvalKit have them; what a row lacks is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def encoded(picture: bytes) -> str:
    """A picture as a cell of such a table."""
    return base64.b64encode(picture).decode()


def json_bytes(value: Any) -> bytes:
    """One JSON document."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def jsonl_bytes(rows: Iterable[Any]) -> bytes:
    """One JSON document per line."""
    return b"".join(json_bytes(row) for row in rows)
