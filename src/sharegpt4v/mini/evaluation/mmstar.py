"""MMStar in the synthetic world: six categories in turn, the options inside the question, as in the real file."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.mmstar import TSV
from sharegpt4v.mini.evaluation.asking import lettered, picture, scene_about
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
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    for number in range(questions):
        aspect = list(CATEGORIES)[number % len(CATEGORIES)]
        random = Random(f"{seed}/eval/mmstar/{number}")
        scene, asked = scene_about(aspect, random)
        options, letter = asked.options(random)
        category, below = CATEGORIES[aspect]
        cells = (CHOICE + lettered(options), base64.b64encode(picture(scene, random, pixels)).decode(), letter)
        writer.writerow(dict(zip(COLUMNS, (number, *cells, category, below, "drawn"), strict=True)))
    yield TSV, text.getvalue().encode()
