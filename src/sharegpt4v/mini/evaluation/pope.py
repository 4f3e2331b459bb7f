"""POPE in the synthetic world: each picture has two questions in each of the three sets, one of them for yes."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.pope import FILE, SETS
from sharegpt4v.mini.evaluation.asking import jsonl_bytes, picture
from sharegpt4v.mini.instructions import SHORT
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import CLAIM
from sharegpt4v.mini.scene import SHAPES, Scene, sample_scene

POPULAR = SHAPES[0]  # as frequent objects are asked about in the real set


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, labels and question file, with a third of `questions` in each set, two on each picture."""
    asked: dict[str, list[dict[str, object]]] = {name: [] for name in SETS}
    for number in range(max(1, questions // (2 * len(SETS)))):
        random = Random(f"{seed}/eval/pope/{number}")
        scene = _incomplete(random)
        name = f"COCO_val2014_{number + 1:012d}.jpg"
        yield f"val2014/{name}", picture(scene, random, pixels)
        present = [thing.shape for thing in scene.things]
        absent = [shape for shape in SHAPES if shape not in present]
        wrong = {
            "random": random.choice(absent),
            "popular": POPULAR if POPULAR in absent else absent[0],
            "adversarial": absent[-1],
        }
        for kind, rows in asked.items():
            for shape, label in ((random.choice(present), "yes"), (wrong[kind], "no")):
                text = CLAIM.format(shape)
                rows.append({"question_id": len(rows) + 1, "image": name, "text": text, "label": label})
    for kind, rows in asked.items():
        yield f"coco/coco_pope_{kind}.json", jsonl_bytes(rows)
    every = [(kind, row) for kind, rows in asked.items() for row in rows]
    yield (
        FILE,
        jsonl_bytes(
            {"question_id": number, "image": row["image"], "text": f"{row['text']}{SHORT}", "category": kind}
            for number, (kind, row) in enumerate(every)
        ),
    )


def _incomplete(random: Random) -> Scene:
    """A scene that shows objects, and not all shapes."""
    while True:
        scene = sample_scene("coco", random)
        if 0 < len({thing.shape for thing in scene.things}) < len(SHAPES):
            return scene
