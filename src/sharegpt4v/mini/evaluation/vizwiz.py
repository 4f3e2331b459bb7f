"""VizWiz in the synthetic world: the validation split with annotations, the test split without.

On some pictures nothing can be made out.
Ten people answered, in the normalised form of the official file.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from PIL import Image, ImageFilter

from sharegpt4v.evaluation.benchmarks.vizwiz import ANNOTATIONS, UNANSWERABLE_PROMPT
from sharegpt4v.evaluation.normalise import vqa_v2
from sharegpt4v.mini.draw import draw, jpeg_bytes
from sharegpt4v.mini.evaluation.asking import annotators, json_bytes, jsonl_bytes, open_or_claim, scene_about
from sharegpt4v.mini.evaluation.vqav2 import answer_type
from sharegpt4v.mini.instructions import SHORT
from sharegpt4v.mini.packing import Member

ASPECTS = ("word", "existence", "count", "colour", "position")
UNANSWERABLE = "unanswerable"


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, annotations and, for a tenth as many pictures, the question file of the test split.

    Every fourth question is unanswerable, every sixth is for yes or no.
    """
    annotated, rows = [], []
    for number in range(questions):
        random = Random(f"{seed}/eval/vizwiz/{number}")
        image, question, truth, others = _question(number, random, pixels)
        answerable = truth != UNANSWERABLE
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
    yield ANNOTATIONS, json_bytes(annotated)
    for number in range(max(2, questions // 10)):
        random = Random(f"{seed}/eval/vizwiz test/{number}")
        image, question, _, _ = _question(number, random, pixels)
        name = f"VizWiz_test_{number:08d}.jpg"
        yield f"test/{name}", jpeg_bytes(image)
        text = f"{question}\n{UNANSWERABLE_PROMPT}{SHORT}"
        rows.append({"question_id": number, "image": name, "text": text, "category": "default"})
    yield "llava_test.jsonl", jsonl_bytes(rows)


def _question(number: int, random: Random, pixels: int) -> tuple[Image.Image, str, str, list[str]]:
    """Return a picture, a question on it, the true answer, and what else people say."""
    scene, asked = scene_about(ASPECTS[number % len(ASPECTS)], random, "open")
    question, truth, others = open_or_claim(asked, number % 6 == 0, random)
    image = draw(scene, random, pixels)
    if number % 4 == 3:
        return unusable(image, random), question, UNANSWERABLE, [truth, *others]
    return image, question, truth, others


def unusable(image: Image.Image, random: Random) -> Image.Image:
    """The picture far out of focus, or a small corner of it."""
    side = image.width
    if random.random() < 0.5:
        return image.filter(ImageFilter.GaussianBlur(side / 4))
    left, top = random.choice((0, side - side // 8)), random.choice((0, side - side // 8))
    return image.crop((left, top, left + side // 8, top + side // 8)).resize(image.size, Image.Resampling.BICUBIC)
