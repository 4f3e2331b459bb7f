"""HallusionBench in the synthetic world: sets of two pictures and two questions, the second picture another scene.

A question that is true of the first picture is false of the second. Some questions are also asked without a picture, as
in the real file, and are left out by the scorer.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.hallusion_bench import FILE, IMAGES
from sharegpt4v.mini.evaluation.asking import json_bytes, picture
from sharegpt4v.mini.instructions import SHORT
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import CLAIM
from sharegpt4v.mini.scene import SHAPES, Scene, sample_scene

CATEGORIES = (("VD", "figure"), ("VS", "chart"))
FIGURES, QUESTIONS = 2, 2


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures and question file, with about `questions` questions on pictures."""
    rows: list[dict[str, object]] = []
    for number in range(max(1, questions // (FIGURES * QUESTIONS))):
        random = Random(f"{seed}/eval/hallusion/{number}")
        category, subcategory = CATEGORIES[number % len(CATEGORIES)]
        (first, one), (second, other) = _two(random)
        claims = [CLAIM.format(one), CLAIM.format(other)]
        about = {"category": category, "subcategory": subcategory, "set_id": str(number // len(CATEGORIES))}
        for figure, scene in enumerate((first, second), start=category == "VS"):
            name = f"{category}/{subcategory}/{about['set_id']}_{figure}.png"
            yield f"{IMAGES}/{name}", picture(scene, random, pixels)
            for place, claim in enumerate(claims):
                truth = place == figure - (category == "VS")
                rows.append(
                    {
                        **about,
                        "visual_input": str(1 + figure),
                        "figure_id": str(figure),
                        "question_id": str(place),
                        "question": claim + SHORT,
                        "gt_answer": str(int(truth)),
                        "filename": f"./{name}",
                    }
                )
        if category == "VS":
            alone = {"visual_input": "0", "figure_id": "0", "question_id": "0", "question": claims[0] + SHORT}
            rows.append({**about, **alone, "gt_answer": "0", "filename": None})
    yield FILE, json_bytes(rows)


def _two(random: Random) -> list[tuple[Scene, str]]:
    """Two scenes, each with a shape that the other does not show."""
    while True:
        scenes = [sample_scene("coco", random) for _ in range(2)]
        first, second = ({thing.shape for thing in scene.things} for scene in scenes)
        own, others = [s for s in SHAPES if s in first - second], [s for s in SHAPES if s in second - first]
        if own and others:
            return [(scenes[0], random.choice(own)), (scenes[1], random.choice(others))]
