"""LLaVA-Bench in the synthetic world: conversation, detail and reasoning on an image each, with the truth as reference.

The rule, officially a file of LLaVA's evaluation code, is this project's own and lies beside the questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sharegpt4v.evaluation.benchmarks.llava_bench import CATEGORIES
from sharegpt4v.mini.describe import caption
from sharegpt4v.mini.evaluation.asking import SOURCE_OF, json_bytes, jsonl_bytes, picture
from sharegpt4v.mini.instructions import DETAIL_QUESTIONS
from sharegpt4v.mini.packing import Member
from sharegpt4v.mini.questions import ask_all
from sharegpt4v.mini.scene import Scene, sample_scene

RULE = (
    "Both assistants have answered the question about an image, which the context describes. Grade each of them from "
    "1 to 10 by how much of what is true about the image it says. Begin with a line that holds the two grades, that "
    "of Assistant 1 first, with a blank between them and nothing else."
)
SOURCES = ("coco", *SOURCE_OF.values())


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield pictures, rule, questions, context and reference answers; the categories take turns."""
    asked, context, references = [], [], []
    for number in range(questions):
        random = Random(f"{seed}/eval/llava-bench/{number}")
        category, image = CATEGORIES[number % len(CATEGORIES)], f"{number + 1:03d}.jpg"
        scene = sample_scene(random.choice(SOURCES), random)
        question, answer = question_and_answer(scene, category, random)
        yield f"images/{image}", picture(scene, random, pixels)
        asked.append({"question_id": number, "image": image, "category": category, "text": question})
        text = caption(scene)
        context.append({"id": image[:-4], "image": image, "caption": [text] if number % 2 else text})
        about = {"answer_id": f"reference-{number}", "model_id": "drawn", "metadata": {}}
        references.append({"question_id": number, "prompt": question, "text": answer, **about})
    yield "questions.jsonl", jsonl_bytes(asked)
    yield "context.jsonl", jsonl_bytes(context)
    yield "answers_gpt4.jsonl", jsonl_bytes(references)
    yield "rule.json", json_bytes({f"llava_bench_{name}": {"role": "Assistant", "prompt": RULE} for name in CATEGORIES})


def question_and_answer(scene: Scene, category: str, random: Random) -> tuple[str, str]:
    """Ask for one thing in a conversation, for everything in detail, and for all that has one answer in reasoning."""
    if category == "detail":
        return random.choice(DETAIL_QUESTIONS), caption(scene)
    all_asked = [asked for asked in ask_all(scene, random) if "open" in asked.forms]
    chosen = [random.choice(all_asked)] if category == "conv" else all_asked
    return " ".join(one.question for one in chosen), f"The image shows {', '.join(one.answer for one in chosen)}."
