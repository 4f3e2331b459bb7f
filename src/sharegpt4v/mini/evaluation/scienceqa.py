"""ScienceQA in the synthetic world: multiple choice about a picture, or about objects that the context tells of."""

from __future__ import annotations

import io
from collections.abc import Iterator
from random import Random

from sharegpt4v.mini.describe import caption
from sharegpt4v.mini.draw import draw
from sharegpt4v.mini.evaluation.asking import OBJECT_ASPECTS, json_bytes, scene_about
from sharegpt4v.mini.instructions import lettered, option_count
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import CHOICE
from sharegpt4v.mini.scene import Scene

ASPECTS = (*OBJECT_ASPECTS, "word", "landmark", "artwork")
TEXT_ONLY_ASPECTS = (*OBJECT_ASPECTS, "word")
SUBJECTS = {"word": "language science", "landmark": "social science", "artwork": "social science"}


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, problems, splits and question file: `questions` with a picture, a quarter as many without."""
    problems, rows = {}, []
    for number in range(questions + questions // 4):
        has_image, identifier = number < questions, str(number + 1)
        random = Random(f"{seed}/eval/scienceqa/{number}")
        aspects = ASPECTS if has_image else TEXT_ONLY_ASPECTS
        aspect = aspects[number % len(aspects)]
        scene, asked = scene_about(aspect, random)
        options, letter = asked.options(random, option_count(random))
        hint = "" if has_image else caption(scene)
        image = f"{identifier}/image.png"
        if has_image:
            yield f"images/test/{image}", _png(scene, random, pixels)
        problems[identifier] = {
            "question": CHOICE,
            "choices": options,
            "answer": "ABCD".index(letter),
            "hint": hint,
            "image": "image.png" if has_image else None,
            "task": "closed choice",
            "grade": "grade2",
            "subject": SUBJECTS.get(aspect, "natural science"),
            "topic": aspect,
            "category": aspect,
            "skill": aspect,
            "lecture": "",
            "solution": "",
            "split": "test",
        }
        text = ("<image>\n" if has_image else f"Context: {hint}\n") + CHOICE + lettered(options)
        turns = [{"from": "human", "value": text}, {"from": "gpt", "value": letter}]
        rows.append({"id": identifier, **({"image": image} if has_image else {}), "conversations": turns})
    yield "problems.json", json_bytes(problems)
    yield "pid_splits.json", json_bytes({"train": [], "val": [], "test": list(problems)})
    yield "llava_test_CQM-A.json", json_bytes(rows)


def _png(scene: Scene, random: Random, pixels: int) -> bytes:
    buffer = io.BytesIO()
    draw(scene, random, pixels).save(buffer, "PNG")
    return buffer.getvalue()
