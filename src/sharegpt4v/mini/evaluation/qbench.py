"""Q-Bench in the synthetic world: pictures spoilt in a known way, and questions on how, as in LLVisionQA dev."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.qbench import FILE, IMAGES
from sharegpt4v.mini.evaluation.asking import json_bytes, picture, scene_about
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import CHOICE

OPTIONS = {"yes-or-no": 2, "what": 4, "how": 3}
"""By type of question: how many candidates it has."""

DISTORTION = 0  # the concern of every question here; no scorer reads the codes of types and concerns


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures and question file; every third question is for yes or no, has four options, or three."""
    rows = []
    for number in range(questions):
        random = Random(f"{seed}/eval/qbench/{number}")
        kind = list(OPTIONS)[number % len(OPTIONS)]
        scene, asked = scene_about("quality", random)
        name = f"{number:05d}.jpg"
        yield f"{IMAGES}/{name}", picture(scene, random, pixels)
        if kind == "yes-or-no":
            question, truth = asked.yes_no(random, truth=random.random() < 0.5)
            truth, wrong = truth.capitalize(), ["No" if truth == "yes" else "Yes"]
        else:
            question, truth = CHOICE, asked.answer
            wrong = random.sample([choice for choice in asked.choices if choice != truth], OPTIONS[kind] - 1)
        place = number // len(OPTIONS) % OPTIONS[kind]  # each in turn, so that one letter for all is worth little
        rows.append(
            {
                "img_path": name,
                "question": question,
                "candidates": [*wrong[:place], truth, *wrong[place:]],
                "correct_ans": truth,
                "type": list(OPTIONS).index(kind),
                "concern": DISTORTION,
            }
        )
    yield FILE, json_bytes(rows)
