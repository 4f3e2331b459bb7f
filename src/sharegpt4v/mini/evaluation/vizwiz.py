"""VizWiz in the drawn world: the annotated validation split, with pictures on which nothing can be made out.

Ten people answered, in the normalised form of the official file.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from PIL import Image, ImageFilter

from sharegpt4v.benchmarks.normalise import vqa_v2
from sharegpt4v.benchmarks.vizwiz import ANNOTATIONS
from sharegpt4v.mini.draw import draw, jpeg_bytes
from sharegpt4v.mini.evaluation.asking import annotators, json_bytes, jsonl_bytes, open_or_claim, scene_about
from sharegpt4v.mini.evaluation.vqav2 import answer_type
from sharegpt4v.mini.instructions import SHORT
from sharegpt4v.mini.packing import Member

ASPECTS = ("word", "existence", "count", "colour", "position")
UNANSWERABLE = "unanswerable"
ALLOWED = "\nWhen the provided information is insufficient, respond with 'Unanswerable'."


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, annotations and question file; every fourth question is unanswerable, every sixth is yes/no."""
    annotated, rows = [], []
    for number in range(questions):
        random = Random(f"{seed}/eval/vizwiz/{number}")
        scene, asked = scene_about(ASPECTS[number % len(ASPECTS)], random, "open")
        question, truth, others = open_or_claim(asked, number % 6 == 0, random)
        image, answerable = draw(scene, random, pixels), number % 4 != 3
        if not answerable:
            image, truth, others = unusable(image, random), UNANSWERABLE, [truth, *others]
        name = f"VizWiz_val_{number:08d}.jpg"
        yield f"val/{name}", jpeg_bytes(image)
        annotated.append(
            {
                "image": name,
                "question": question,
                "answers": [
                    {"answer": vqa_v2(answer), "answer_confidence": "yes"}
                    for answer in annotators(truth, others, random)
                ],
                "answer_type": answer_type(truth) if answerable else UNANSWERABLE,
                "answerable": int(answerable),
            }
        )
        rows.append({"question_id": number, "image": name, "text": question + ALLOWED + SHORT, "category": "default"})
    yield ANNOTATIONS, json_bytes(annotated)
    yield "llava_val.jsonl", jsonl_bytes(rows)


def unusable(image: Image.Image, random: Random) -> Image.Image:
    """The picture far out of focus, or a small corner of it."""
    side = image.width
    if random.random() < 0.5:
        return image.filter(ImageFilter.GaussianBlur(side / 4))
    left, top = random.choice((0, side - side // 8)), random.choice((0, side - side // 8))
    return image.crop((left, top, left + side // 8, top + side // 8)).resize(image.size, Image.Resampling.BICUBIC)
