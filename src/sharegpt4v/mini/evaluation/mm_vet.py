"""MM-Vet in the synthetic world: open questions by the capabilities that they take, some of them two in one.

The judge's prompt, officially in MM-Vet's evaluator, is this project's own and lies beside the questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.mini.describe import caption
from sharegpt4v.mini.evaluation.asking import json_bytes, jsonl_bytes, picture, scene_about
from sharegpt4v.mini.evaluation.vqav2 import SYNONYMS
from sharegpt4v.mini.instructions import DETAIL_QUESTIONS
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import ask_all

PROMPT = """Grade the prediction by the ground truth, from 0.0 (nothing of it) to 1.0 (all of it). <AND> in the ground
truth means that all parts are wanted, <OR> that one of them is enough. Fill in the last cell and nothing else.

Question | Ground truth | Prediction | Correctness
--- | --- | --- | ---
Which color does the image show? | red | red | 1.0
Which color does the image show? | purple <OR> violet | yellow | 0.0
Which shape does the image show? Which color does the image show? | cross <AND> green | a green circle | 0.5
"""
CAPABILITIES = {
    "colour": ("rec",),
    "word": ("ocr",),
    "position": ("rec", "spat"),
    "landmark": ("know", "rec"),
    "count": ("math", "rec"),
    "celebrity": ("know", "rec"),
    "existence": ("rec",),
    "artwork": ("know", "rec"),
}
"""What it takes to answer about an aspect."""

DESCRIBING = ("gen", "rec")
DETAIL_ONE_IN, TWO_ONE_IN = 9, 4  # questions asks for a description, and asks for two things


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, questions with truths, LLaVA's question file and the prompt."""
    truths, rows = {}, []
    for number in range(questions):
        random = Random(f"{seed}/eval/mm-vet/{number}")
        scene, asked = scene_about(list(CAPABILITIES)[number % len(CAPABILITIES)], random, "open")
        question, truth, capabilities = asked.question, with_synonym(asked.answer), CAPABILITIES[asked.aspect]
        others = [one for one in ask_all(scene, random) if "open" in one.forms and one.aspect in CAPABILITIES]
        others = [one for one in others if one.aspect != asked.aspect]
        if number % DETAIL_ONE_IN == DETAIL_ONE_IN - 1:
            question, truth, capabilities = random.choice(DETAIL_QUESTIONS), caption(scene), DESCRIBING
        elif number % TWO_ONE_IN == 0 and others:
            other = random.choice(others)
            question, truth = f"{question} {other.question}", f"{asked.answer}<AND>{other.answer}"
            capabilities = tuple(sorted({*capabilities, *CAPABILITIES[other.aspect]}))
        image = f"v1_{number}.jpg"
        yield f"images/{image}", picture(scene, random, pixels)
        about = {"imagename": image, "imagesource": "drawn"}
        truths[f"v1_{number}"] = {**about, "question": question, "answer": truth, "capability": list(capabilities)}
        rows.append({"question_id": number, "image": image, "text": question, "category": "conv"})
    yield "mm-vet.json", json_bytes(truths)
    yield "llava-mm-vet.jsonl", jsonl_bytes(rows)
    yield "mm-vet_evaluator.py", f'prompt = """{PROMPT}"""\n'.encode()


def with_synonym(answer: str) -> str:
    """The answer, or another word for it if there is one."""
    return f"{answer}<OR>{SYNONYMS[answer]}" if answer in SYNONYMS else answer
