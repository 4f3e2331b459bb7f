"""Conversations about scenes, as the rows of the instruction mix hold them.

Every round asks in one of the three forms of the LLaVA-1.5 mix: an open question for a single word, a yes/no
question, or a multiple choice for a letter. A few rounds put it in the words of other benchmarks, as many data sets are
in the mix: in Chinese, without asking for a letter, with a step of thought, or so that it cannot be answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from sharegpt4v.evaluation.benchmarks.mmbench_cn import LETTER_PROMPT
from sharegpt4v.evaluation.benchmarks.mmstar import DIRECTLY as DIRECT
from sharegpt4v.evaluation.benchmarks.qbench import CHOOSE
from sharegpt4v.evaluation.benchmarks.vizwiz import UNANSWERABLE_PROMPT
from sharegpt4v.mini import chinese
from sharegpt4v.mini.describe import COUNTS
from sharegpt4v.mini.questions import ASPECTS, CHOICE, CLAIM, Asked
from sharegpt4v.mini.reasoning import steps
from sharegpt4v.mini.scene import NAMED_KINDS

SHORT = "\nAnswer the question using a single word or phrase."
LETTER = "\nAnswer with the option's letter from the given choices directly."
DIRECTLY = f"\n{DIRECT}"
CHINESE_LETTER = f"\n{LETTER_PROMPT}"
INSUFFICIENT = f"\n{UNANSWERABLE_PROMPT}{SHORT}"
CLAIMED = CLAIM.partition(" {}")[0]
ROUNDS = 6  # of question and answer in a row, at most
FORM_WEIGHTS = {"open": 3, "yes/no": 9, "choice": 8}
"""How often each form is asked. A small model learns to name what it sees long before it learns to compare it with a
word of the question."""
WORDINGS = {"letter": 14, "Chinese": 4, "directly": 1, "candidates": 1}
"""How often a multiple choice is put in each way: as in LLaVA's mix, as MMBench-CN, MMStar and Q-Bench put it."""
TWO_OPTIONS = 0.7  # the share of multiple choices with two options; the others have four
UNSURE, UNANSWERABLE, STEP, CANDIDATES = 0.1, 0.04, 0.3, 0.04
"""The shares of open questions that say what to do when unsure, of rounds about what is not there, of yes/no questions
about the number of objects that take a step of thought, and of yes/no questions with Yes and No as options."""
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
        return asked.question + (INSUFFICIENT if random.random() < UNSURE else SHORT), asked.answer
    if form == "choice":
        return _choice(*asked.options(random, option_count(random)), random)
    truth = random.random() < 0.5
    if asked.aspect == "count" and random.random() < STEP:
        return claim_round(steps(COUNTS.index(asked.answer), random), truth)
    question, answer = asked.yes_no(random, truth)
    if random.random() < CANDIDATES:
        options = random.sample(("Yes", "No"), 2)
        return candidates(question, options), "AB"[options.index(answer.capitalize())]
    return question + SHORT, answer


def claim_round(claims: Sequence[str], truth: bool) -> tuple[str, str]:
    """The first of two claims, which is true, or the second, which is not, as a question and `yes` or `no`."""
    return claims[not truth] + SHORT, "yes" if truth else "no"


def _choice(options: list[str], letter: str, random: Random) -> tuple[str, str]:
    match random.choices(list(WORDINGS), list(WORDINGS.values()))[0]:
        case "Chinese":
            translated = list(map(chinese.said, options))
            return f"{chinese.QUESTION}{lettered(translated)}{CHINESE_LETTER}", letter
        case "directly":
            return CHOICE + lettered(options) + DIRECTLY, letter
        case "candidates":
            return candidates(CHOICE, options), letter
        case _:
            return CHOICE + lettered(options) + LETTER, letter


def candidates(question: str, options: Sequence[str]) -> str:
    """A multiple choice as Q-Bench puts it."""
    return f"{question}\n{CHOOSE}{lettered(options)}\n"


def lettered(options: Sequence[str]) -> str:
    """The options of a multiple choice, each on a line of its own after its letter; begins with a newline."""
    return "".join(f"\n{letter}. {option}" for letter, option in zip("ABCD", options, strict=False))


def rounds(
    asked: Sequence[Asked], random: Random, most: int = ROUNDS, weights: Mapping[str, int] = FORM_WEIGHTS
) -> list[dict[str, str]]:
    """Up to `most` rounds of question and answer out of `asked`, as conversation turns; `weights` of forms not 0."""
    turns = []
    there = {question.aspect for question in asked}
    absent = [aspect for aspect in NAMED_KINDS if aspect not in there]
    for question in random.sample(asked, min(most, len(asked))):
        forms = [form for form in question.forms if form in weights]
        form = random.choices(forms, [weights[form] for form in forms])[0]
        prompt, answer = ask(question, form, random)
        if random.random() < UNANSWERABLE:
            prompt, answer = ASPECTS[random.choice(absent)][0] + INSUFFICIENT, "Unanswerable"
        turns += [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]
    return turns


def with_context(context: str, turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The turns with `context` and a newline before the first question."""
    return [{"from": "human", "value": f"{context}\n{turns[0]['value']}"}, *turns[1:]]
