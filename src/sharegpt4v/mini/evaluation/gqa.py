"""GQA in the synthetic world: testdev_balanced, open questions for a word and binary ones for yes or no."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.mini.evaluation.asking import json_bytes, jsonl_bytes, picture, scene_about
from sharegpt4v.mini.instructions import SHORT
from sharegpt4v.mini.packing import Member

SEMANTIC_TYPES = {
    "colour": "attr", "position": "rel", "scene": "global", "size": "attr", "existence": "obj",
}  # fmt: skip


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, questions and LLaVA's question file; every third question is binary."""
    annotated, rows = {}, []
    for number in range(questions):
        random = Random(f"{seed}/eval/gqa/{number}")
        aspect = list(SEMANTIC_TYPES)[number // 3 % len(SEMANTIC_TYPES)]
        scene, asked = scene_about(aspect, random, "open")
        question, answer = asked.question, asked.answer
        binary = number % 3 == 0
        if binary:
            question, answer = asked.yes_no(random, truth=random.random() < 0.5)
        operation = "verify" if binary else "query"
        image, identifier = f"n{160_000 + number}", f"{200_000_000 + number}"
        yield f"images/{image}.jpg", picture(scene, random, pixels)
        annotated[identifier] = {
            "semantic": [
                {"operation": "select", "dependencies": [], "argument": "scene" if aspect == "scene" else "object"},
                {"operation": f"{operation} {aspect}", "dependencies": [0], "argument": answer if binary else aspect},
            ],
            "entailed": [],
            "equivalent": [identifier],
            "question": question,
            "imageId": image,
            "isBalanced": True,
            "groups": {"global": None if binary else aspect, "local": f"{number}-{aspect}"},
            "answer": answer,
            "semanticStr": f"select->{operation} {aspect} [0]",
            "annotations": {"question": {}, "answer": {}, "fullAnswer": {}},
            "types": {
                "structural": operation,
                "semantic": SEMANTIC_TYPES[aspect],
                "detailed": f"{aspect}{operation.capitalize()}",
            },
            "fullAnswer": f"{answer.capitalize()}.",
        }
        rows.append(
            {"question_id": identifier, "image": f"{image}.jpg", "text": question + SHORT, "category": "default"}
        )
    yield "data/testdev_balanced_questions.json", json_bytes(annotated)
    yield "llava_gqa_testdev_balanced.jsonl", jsonl_bytes(rows)
