"""MMStar in the synthetic world: six categories in turn, the options inside the question, as in the real file."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.mmstar import TSV
from sharegpt4v.mini.evaluation.asking import encoded, picture, scene_about, table_bytes
from sharegpt4v.mini.instructions import lettered
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import CHOICE

COLUMNS = ("index", "question", "image", "answer", "category", "l2_category", "bench")
CATEGORIES = {
    "scene": ("coarse perception", "image scene and topic"),
    "colour": ("fine-grained perception", "recognition"),
    "position": ("instance reasoning", "single-instance reasoning"),
    "word": ("logical reasoning", "common reasoning"),
    "landmark": ("science & technology", "geography & earth science & agriculture"),
    "count": ("math", "numeric commonsense and calculation"),
}
"""By aspect: the category and what is below it."""


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the one file, with `questions` questions, each on a picture of its own."""
    yield TSV, table_bytes(COLUMNS, (_row(number, seed, pixels) for number in range(questions)))


def _row(number: int, seed: int, pixels: int) -> dict[str, object]:
    aspect = list(CATEGORIES)[number % len(CATEGORIES)]
    random = Random(f"{seed}/eval/mmstar/{number}")
    scene, asked = scene_about(aspect, random)
    options, letter = asked.options(random)
    category, below = CATEGORIES[aspect]
    return {
        "index": number,
        "question": CHOICE + lettered(options),
        "image": encoded(picture(scene, random, pixels)),
        "answer": letter,
        "category": category,
        "l2_category": below,
        "bench": "drawn",
    }
