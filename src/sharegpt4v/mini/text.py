"""The text that the mini language models learn from: lists of tags, questions about them, descriptions of them.

A list of tags stands where a picture will stand later, and is as long. The lists grow from phase to phase: to find a
word again among two is learned in seconds, among sixteen only by someone who can do it among eight. This is the
reading skill that Vicuna brings along (paper section 4.1); no picture and no scene of the data is behind any of it.
"""

from __future__ import annotations

from random import Random

from sharegpt4v.mini.describe import alt_text, caption
from sharegpt4v.mini.instructions import DETAIL_QUESTIONS, LETTER, SHORT, ask, with_context
from sharegpt4v.mini.questions import ASPECTS, Asked, ask_all, values_of
from sharegpt4v.mini.scene import NAMED_SOURCES, Scene, sample_scene

PHASES = ((1, 0.12), (2, 0.12), (4, 0.12), (8, 0.16), (16, 0.24), (0, 0.24))
"""How many tags a list holds (0: sixteen, and descriptions beside the questions), and the share of the rows."""

Text = tuple[str, list[tuple[int, int]]]
"""A text, and the character spans that are learned."""


def tags(scene: Scene, random: Random, count: int) -> list[str]:
    """`count` tags of the scene in random order: first each once, then repeats."""
    known = [value for aspect in ASPECTS for value in values_of(scene, aspect)]
    random.shuffle(known)
    known = known[:count] + [random.choice(known) for _ in range(count - len(known))]
    random.shuffle(known)
    return known


def row(number: int, count: int, seed: int) -> Text:
    """The text of row `number` of the phase with `count` tags."""
    from sharegpt4v.training.conversation import v1_text

    random = Random(f"{seed}/text/{count}/{number}")
    scene = sample_scene(random.choice(("coco", "coco", "coco", "coco", "textvqa", *NAMED_SOURCES)), random)
    listed = tags(scene, random, count or 16)
    context = " ".join(listed)
    if count == 0 and random.random() < 0.4:
        return describe(scene, context, random)
    asked = [one for one in ask_all(scene, random) if one.answer in listed]
    one = random.choice(asked or [Asked("scene", ASPECTS["scene"][0], listed[0], ASPECTS["scene"][1])])
    form = random.choice(("yes/no", "choice") if count else one.forms)
    prompt, answer = ask(one, form, random)
    return v1_text(with_context(context, [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]))


def describe(scene: Scene, context: str, random: Random) -> Text:
    """A description after its tags: an alt-text or a caption, alone or as the answer in a conversation."""
    from sharegpt4v.training.conversation import v1_text

    if random.random() < 0.5:
        question = random.choice(DETAIL_QUESTIONS)
        turns = [{"from": "human", "value": question}, {"from": "gpt", "value": caption(scene)}]
        return v1_text(with_context(context, turns))
    text = f"{context}{alt_text(scene)}\n"
    return text, [(len(context), len(text))]


def phrases() -> tuple[str, ...]:
    """Answers that are one token each, with the blank before them, and the fixed endings of questions."""
    return (SHORT, LETTER, " yes", " no", *(f" {value}" for _, every in ASPECTS.values() for value in every))
