"""Conversations about scenes, as the rows of the instruction mix hold them.

Every round asks in one of the three forms of the LLaVA-1.5 mix: an open question for a single word, a yes/no
question, or a multiple choice for a letter.
"""

from __future__ import annotations

from random import Random

from sharegpt4v.mini.questions import CHOICE, Asked, ask_all
from sharegpt4v.mini.scene import Scene

SHORT = "\nAnswer the question using a single word or phrase."
LETTER = "\nAnswer with the option's letter from the given choices directly."
TWO_OPTIONS = 0.7  # the share of multiple choices with two options; the others have four
DETAIL_QUESTIONS = (
    "Describe the image in detail.",
    "What do you see in the image? Give a detailed answer.",
    "Can you describe this picture in detail?",
)


def option_count(random: Random) -> int:
    """How many options a multiple choice has at most."""
    return 2 if random.random() < TWO_OPTIONS else 4


def ask(asked: Asked, form: str, random: Random) -> tuple[str, str]:
    """A question in the form "open", "yes/no" or "choice" as (prompt, answer)."""
    if form == "open":
        return asked.question + SHORT, asked.answer
    if form == "yes/no":
        question, answer = asked.yes_no(random, truth=random.random() < 0.5)
        return question + SHORT, answer
    options, letter = asked.options(random, option_count(random))
    listed = "".join(f"\n{mark}. {option}" for mark, option in zip("ABCD", options, strict=False))
    return CHOICE + listed + LETTER, letter


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
