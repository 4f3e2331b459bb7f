"""Conversations about scenes, as the rows of the instruction mix hold them.

Every round asks in one of the three forms of the LLaVA-1.5 mix: an open question for a single word, a yes/no
question, or a multiple choice for a letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from sharegpt4v.mini.questions import CHOICE, CLAIM, Asked

SHORT = "\nAnswer the question using a single word or phrase."
LETTER = "\nAnswer with the option's letter from the given choices directly."
CLAIMED = CLAIM.partition(" {}")[0]
ROUNDS = 6  # of question and answer in a row, at most
FORM_WEIGHTS = {"open": 3, "yes/no": 9, "choice": 8}
"""How often each form is asked. A small model learns to name what it sees long before it learns to compare it with a
word of the question."""
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


def rounds(
    asked: Sequence[Asked], random: Random, most: int = ROUNDS, weights: Mapping[str, int] = FORM_WEIGHTS
) -> list[dict[str, str]]:
    """Up to `most` rounds of question and answer out of `asked`, as conversation turns; `weights` of forms not 0."""
    turns = []
    for question in random.sample(asked, min(most, len(asked))):
        forms = [form for form in question.forms if form in weights]
        form = random.choices(forms, [weights[form] for form in forms])[0]
        prompt, answer = ask(question, form, random)
        turns += [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
    return turns


def with_context(context: str, turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The turns with `context` and a newline before the first question."""
    return [{"from": "human", "value": f"{context}\n{turns[0]['value']}"}, *turns[1:]]
