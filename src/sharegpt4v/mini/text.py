"""The text that the mini language models learn from: lists of tags, questions about them, descriptions of them.

A list of tags stands where a picture will stand later, and is as long. The lists grow from phase to phase: to find a
word again among two is learned in seconds, among sixteen only by someone who can do it among eight. This is the
reading skill that Vicuna brings along (paper section 4.1); no picture and no scene of the data is behind any of it.
"""

from __future__ import annotations

from random import Random

from sharegpt4v.mini.describe import alt_text, caption
from sharegpt4v.mini.instructions import (
    CLAIMED,
    DETAIL_QUESTIONS,
    FORM_WEIGHTS,
    LETTER,
    ROUNDS,
    SHORT,
    rounds,
    with_context,
)
from sharegpt4v.mini.questions import ASPECTS, CHOICE, ask_all, values_of
from sharegpt4v.mini.scene import NAMED_SOURCES, Scene, sample_scene
from sharegpt4v.models.templates import Text, v1_text

PHASES = ((1, 0.18), (2, 0.28), (4, 0.20), (8, 0.12), (16, 0.12), (0, 0.10))
"""How many tags a list holds (0: sixteen, and open questions and descriptions beside the others), and the share of
the rows. Most rows are short: what is hard is to find a word again at all, and short lists show it soonest."""

COMPARING = {"yes/no": 1, "choice": 1}
DESCRIPTIONS = 0.3  # of the rows of the last phase
SOURCES = ("coco", "coco", "coco", "coco", "textvqa", *NAMED_SOURCES)


def tags(scene: Scene, random: Random, count: int) -> list[str]:
    """`count` tags of the scene in random order: first each once, then repeats."""
    known = [value for aspect in ASPECTS for value in values_of(scene, aspect)]
    random.shuffle(known)
    known = known[:count] + [random.choice(known) for _ in range(count - len(known))]
    random.shuffle(known)
    return known


def row(number: int, count: int, seed: int) -> Text:
    """The text of row `number` of the phase with `count` tags: a list, and questions about what is in it."""
    random = Random(f"{seed}/text/{count}/{number}")
    while True:
        scene = sample_scene(random.choice(SOURCES), random)
        listed = tags(scene, random, count or 16)
        if count == 0 and random.random() < DESCRIPTIONS:
            return describe(scene, " ".join(listed), random)
        asked = [one for one in ask_all(scene, random) if one.answer in listed]
        if asked:
            turns = rounds(asked, random, ROUNDS, COMPARING if count else FORM_WEIGHTS)
            return v1_text(with_context(" ".join(listed), turns))


def describe(scene: Scene, context: str, random: Random) -> Text:
    """A description after its tags: an alt-text or a caption, alone or as the answer in a conversation."""
    if random.random() < 0.5:
        question = random.choice(DETAIL_QUESTIONS)
        turns = [{"from": "human", "value": question}, {"from": "gpt", "value": caption(scene)}]
        return v1_text(with_context(context, turns))
    text = f" {context}{alt_text(scene)}\n"
    return text, [(len(context) + 1, len(text))]


def phrases() -> tuple[str, ...]:
    """What is one token each: fixed questions, fixed endings of questions, answers with the blank before them."""
    values = (f" {value}" for _, every in ASPECTS.values() for value in every)
    questions = (question for question, _ in ASPECTS.values())
    return (CLAIMED, CHOICE, *questions, *DETAIL_QUESTIONS, f"?{SHORT}", SHORT, LETTER, " yes", " no", *values)
