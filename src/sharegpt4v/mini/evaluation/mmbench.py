"""MMBench in the synthetic world: questions with two to four options, each asked in every rotation of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.mmbench import ROUND, TSV
from sharegpt4v.evaluation.benchmarks.mmbench_file import LETTERS
from sharegpt4v.mini.evaluation.asking import encoded, picture, scene_about, table_bytes
from sharegpt4v.mini.instructions import option_count
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import CHOICE

COLUMNS = (
    "index", "question", "hint", *LETTERS, "answer", "category", "image", "source", "l2-category", "comment", "split",
)  # fmt: skip
COARSE, FINE = "coarse_perception", "finegrained_perception (instance-level)"
CATEGORIES = {
    "scene": ("image_scene", COARSE),
    "existence": ("image_topic", COARSE),
    "artwork": ("image_style", COARSE),
    "colour": ("attribute_recognition", FINE),
    "size": ("attribute_recognition", FINE),
    "position": ("object_localization", FINE),
    "count": ("object_localization", FINE),
    "word": ("ocr", FINE),
    "celebrity": ("celebrity_recognition", FINE),
    "landmark": ("celebrity_recognition", FINE),
}
"""By aspect: the category and the ability above it; a landmark is recognised as a famous face is."""

CYCLE = (
    "scene", "existence", "colour", "size", "position", "count", "celebrity", "colour", "scene", "existence",
    "count", "position", "word", "colour", "scene", "existence", "size", "position", "count", "artwork",
    "colour", "scene", "existence", "size", "position", "count", "landmark", "colour", "existence", "position",
)  # fmt: skip
"""Aspects in turn: mostly what objects are like, four of thirty about a name or a word."""

ONE_SHORT_IN = 20  # as in the real file, where 53 of 991 questions with four options have three rounds


Row = dict[str, str]


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the one file, with `questions` questions and a row for each of their rounds."""
    yield TSV, tsv_bytes(rounds(questions, seed, pixels))


def rounds(questions: int, seed: int, pixels: int) -> Iterator[Row]:
    """Yield the rows of all questions: one for each round."""
    for number in range(questions):
        aspect = CYCLE[number % len(CYCLE)]
        random = Random(f"{seed}/eval/mmbench/{number}")
        scene, asked = scene_about(aspect, random)
        options, _ = asked.options(random, most=option_count(random))
        image = encoded(picture(scene, random, pixels))
        category, ability = CATEGORIES[aspect]
        short = len(options) == 4 and number % ONE_SHORT_IN == 0
        for turn in range(len(options) - short):
            turned = rotated(options[:3], turn) + options[3:] if short else rotated(options, turn)
            yield {
                "index": str(number + 1 + turn * ROUND),
                "question": CHOICE,
                **dict(zip(LETTERS, turned, strict=False)),
                "answer": LETTERS[turned.index(asked.answer)],
                "category": category,
                "image": image,
                "source": "drawn",
                "l2-category": ability,
                "split": "dev",
            }


def tsv_bytes(rows: Iterable[Row]) -> bytes:
    """The rows as a file in MMBench's format, first rounds first."""
    in_order: list[Row] = sorted(rows, key=lambda row: int(row["index"]))
    return table_bytes(COLUMNS, in_order)


def rotated(options: list[str], turns: int) -> list[str]:
    """The options moved to the right, the last ones to the front."""
    cut = len(options) - turns
    return options[cut:] + options[:cut]
