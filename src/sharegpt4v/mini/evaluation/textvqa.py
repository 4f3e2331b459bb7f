"""TextVQA in the synthetic world: the validation split, with what a text reader found in the prompt.

The reader is right half of the time, so that looking at the picture pays. Some pictures have two questions, which the
official files tell apart by their text alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.textvqa import ANNOTATIONS
from sharegpt4v.mini.annotations import read_word
from sharegpt4v.mini.evaluation.asking import annotators, json_bytes, jsonl_bytes, picture, scene_about
from sharegpt4v.mini.instructions import SHORT
from sharegpt4v.mini.packing import Member


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, annotations and question file; every second picture has a second question, for yes or no."""
    annotated: list[dict[str, object]] = []
    rows: list[dict[str, object]] = []
    number = 0
    while len(rows) < questions:
        random = Random(f"{seed}/eval/textvqa/{number}")
        scene, asked = scene_about("word", random)
        image = f"{random.getrandbits(64):016x}"
        yield f"train_images/{image}.jpg", picture(scene, random, pixels)
        tokens = read_word(asked.answer, random)
        claim, truth = asked.yes_no(random, truth=random.random() < 0.5)
        pairs = [(asked.question, asked.answer), (claim, truth)][: min(1 + number % 2, questions - len(rows))]
        for question, answer in pairs:
            others = [c for c in asked.choices if c != answer] if question == asked.question else ["unanswerable"]
            annotated.append(
                {
                    "question_id": 34_602 + len(annotated),
                    "question": question,
                    "image_id": image,
                    "image_classes": ["Sign"],
                    "image_width": pixels,
                    "image_height": pixels,
                    "answers": annotators(answer, others, random),
                    "question_tokens": question.lower().rstrip("?").split(),
                    "set_name": "val",
                }
            )
            text = f"{question}\nReference OCR token: {tokens}{SHORT}"
            rows.append({"question_id": image, "image": f"{image}.jpg", "text": text, "category": "default"})
        number += 1
    about = {"dataset_type": "val", "dataset_name": "textvqa", "dataset_version": "0.5.1"}
    yield ANNOTATIONS, json_bytes({**about, "data": annotated})
    yield "llava_textvqa_val_v051_ocr.jsonl", jsonl_bytes(rows)
