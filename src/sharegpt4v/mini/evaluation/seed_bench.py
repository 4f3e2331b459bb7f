"""SEED-Bench, image part, in the synthetic world: nine dimensions, four choices, in about the real proportions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from random import Random

from sharegpt4v.evaluation.benchmarks.seed_bench import IMAGES
from sharegpt4v.mini.evaluation.asking import json_bytes, jsonl_bytes, picture, scene_about
from sharegpt4v.mini.instructions import LETTER, lettered
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import CHOICE, Asked
from sharegpt4v.mini.scene import BACKGROUNDS, PLACES, SHAPES, Scene, Thing, sample_scene, sample_things

DIMENSIONS = {
    "Scene Understanding": 1, "Instance Identity": 2, "Instance Attributes": 3, "Instance Location": 4,
    "Instances Counting": 5, "Spatial Relation": 6, "Instance Interaction": 7, "Visual Reasoning": 8,
    "Text Understanding": 9, "Action Recognition": 10, "Action Prediction": 11, "Procedure Understanding": 12,
}  # fmt: skip
CYCLE = (1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 3, 2, 3, 5, 1, 3, 2, 3, 5, 1)  # all nine at once, then the common ones
ASPECTS = {1: "scene", 2: "existence", 3: "colour", 4: "position", 5: "count", 9: "word"}
PAIRS = tuple(f"{one} and {other}" for one, other in combinations(SHAPES, 2))


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, annotations and question file for `questions` questions, one on each picture."""
    annotated, rows = [], []
    for number in range(questions):
        dimension = CYCLE[number % len(CYCLE)]
        random = Random(f"{seed}/eval/seed/{number}")
        scene, asked = _ask(dimension, random)
        options, letter = asked.options(random)
        identifier, name = 100_000 + number, f"{1_000_000 + number}_{random.randrange(10**10):010d}"
        yield f"{IMAGES}/{name}", picture(scene, random, pixels)  # the real pictures have no suffix either
        question = asked.question if dimension in (6, 7, 8) else CHOICE
        annotated.append(
            {
                "answer": letter,
                **{f"choice_{mark}": option for mark, option in zip("abcd", options, strict=True)},
                "data_id": name,
                "data_type": "image",
                "question": question,
                "question_id": str(identifier),
                "question_type_id": dimension,
            }
        )
        text = question + lettered(options) + LETTER
        rows.append({"question_id": identifier, "image": f"{IMAGES}/{name}", "text": text})
    yield "SEED-Bench.json", json_bytes({"question_type": DIMENSIONS, "questions": annotated})
    yield "share4v-seed-bench-image.jsonl", jsonl_bytes(rows)


def _ask(dimension: int, random: Random) -> tuple[Scene, Asked]:
    if dimension in ASPECTS:
        return scene_about(ASPECTS[dimension], random, "open")
    return {6: _relation, 7: _interaction, 8: _reasoning}[dimension](random)


def _relation(random: Random) -> tuple[Scene, Asked]:
    """Two different shapes side by side: which is on that side of the other?"""
    left, right = things = _different(2, random.choice((PLACES[:2], PLACES[2:])), random)
    side, asked_for, other = random.choice((("right", right, left), ("left", left, right)))
    question = f"What shape is to the {side} of the {other.shape}?"
    return _scene(things, random), Asked("relation", question, asked_for.shape, SHAPES)


def _interaction(random: Random) -> tuple[Scene, Asked]:
    """Three different shapes, so two of them in one row: which two?"""
    things = _different(3, PLACES, random)
    rows = [[thing.shape for thing in things if row in thing.place] for row in ("top", "bottom")]
    beside = max(rows, key=len)
    answer = " and ".join(shape for shape in SHAPES if shape in beside)
    return _scene(things, random), Asked("interaction", "Which two shapes are side by side?", answer, PAIRS)


def _reasoning(random: Random) -> tuple[Scene, Asked]:
    scene = sample_scene("coco", random)
    left = str(len(scene.things) - 1)
    return scene, Asked("reasoning", "How many objects are left if one is taken away?", left, tuple("0123"))


def _different(count: int, places: tuple[str, ...], random: Random) -> tuple[Thing, ...]:
    """Draw objects until no two have the same shape."""
    while True:
        things = sample_things(random, count, places)
        if len({thing.shape for thing in things}) == count:
            return things


def _scene(things: tuple[Thing, ...], random: Random) -> Scene:
    return Scene(random.choice(list(BACKGROUNDS)), things)
