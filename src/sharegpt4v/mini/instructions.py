"""Conversations about scenes: rows of the instruction mix, and the text that the small language model learns from.

Every round asks in one of the three forms of the LLaVA-1.5 mix: an open question for a single word, a yes/no
question, or a multiple choice for a letter.
"""

from __future__ import annotations

from random import Random
from typing import Any

from sharegpt4v.mini.describe import caption
from sharegpt4v.mini.questions import Asked, ask_all
from sharegpt4v.mini.scene import NAMED_SOURCES, OBJECT_SOURCES, TEXT_SOURCES, Scene, sample_scene

SHORT = "\nAnswer the question using a single word or phrase."
LETTER = "\nAnswer with the option's letter from the given choices directly."
DETAIL_QUESTIONS = (
    "Describe the image in detail.",
    "What do you see in the image? Give a detailed answer.",
    "Can you describe this picture in detail?",
)


def ask(asked: Asked, form: str, random: Random) -> tuple[str, str]:
    """A question in the form "open", "yes/no" or "choice" as (prompt, answer)."""
    if form == "open":
        return asked.question + SHORT, asked.answer
    if form == "yes/no":
        question, answer = asked.yes_no(random, truth=random.random() < 0.5)
        return question + SHORT, answer
    options, letter = asked.options(random)
    listed = "".join(f"\n{mark}. {option}" for mark, option in zip("ABCD", options, strict=False))
    return asked.question + listed + LETTER, letter


def rounds(scene: Scene, random: Random, most: int) -> list[dict[str, str]]:
    """Up to `most` rounds of question and answer on different things about one scene, as conversation turns."""
    asked = ask_all(scene, random)
    turns = []
    for question in random.sample(asked, min(most, len(asked))):
        prompt, answer = ask(question, random.choice(question.forms), random)
        turns += [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
    return turns


def with_context(context: str, turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The turns with `context` and a newline before the first question."""
    return [{"from": "human", "value": f"{context}\n{turns[0]['value']}"}, *turns[1:]]


def text_row(number: int, seed: int) -> dict[str, Any]:
    """A text-only conversation about a scene that is told in words and never drawn."""
    random = Random(f"text/{seed}/{number}")
    kinds = (*OBJECT_SOURCES * 3, *TEXT_SOURCES, *NAMED_SOURCES)
    scene = sample_scene(random.choice(kinds), random)
    return {"id": f"text{number}", "conversations": with_context(caption(scene), rounds(scene, random, most=6))}
