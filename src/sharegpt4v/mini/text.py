"""The text that the mini language models learn from: lists of tags, questions about them, descriptions of them.

A list of tags stands where a picture will stand later, and is as long. A tag is another token than the word it stands
for, as what is seen is not what is read. The lists grow from phase to phase: to find a word among two tags is learned
in seconds, among sixteen only by someone who can do it among eight. This is the reading skill that Vicuna brings along
(paper section 4.1); no picture and no scene of the data is behind any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from sharegpt4v.evaluation.benchmarks.qbench import CHOOSE, HUMAN_SYSTEM
from sharegpt4v.mini import chinese
from sharegpt4v.mini.describe import alt_text, caption
from sharegpt4v.mini.instructions import (
    CHINESE_LETTER,
    CLAIMED,
    DETAIL_QUESTIONS,
    DIRECTLY,
    FORM_WEIGHTS,
    INSUFFICIENT,
    LETTER,
    ROUNDS,
    SHORT,
    rounds,
    with_context,
)
from sharegpt4v.mini.questions import ASPECTS, CHOICE, ask_all, values_of
from sharegpt4v.mini.reasoning import GIVES, MORE, PLUS_ONE, TRANSLATED
from sharegpt4v.mini.scene import NAMED_SOURCES, Scene, now_and_then_flawed, sample_scene
from sharegpt4v.models.templates import SYSTEM, Text, v1_text

PHASES = ((1, 0.14), (2, 0.21), (4, 0.15), (8, 0.09), (16, 0.09), (0, 0.32))
"""How many tags a list holds (0: sixteen, and open questions and descriptions beside the others), and the share of
the rows. Most rows are short: what is hard is to find a word again at all, and short lists show it soonest."""

COMPARING = {"yes/no": 1, "choice": 1}
DESCRIPTIONS = 0.6  # of the rows of the last phase
HUMAN = 0.05  # of the rows name the user as Q-Bench does
SOURCES = ("coco", "coco", "coco", "coco", "textvqa", *NAMED_SOURCES)


def tags(scene: Scene, random: Random, count: int) -> list[str]:
    """`count` tags of the scene in random order: first each once, then repeats."""
    known = [value for aspect in ASPECTS for value in values_of(scene, aspect)]
    random.shuffle(known)
    known = known[:count] + [random.choice(known) for _ in range(count - len(known))]
    random.shuffle(known)
    return known


def as_tags(words: Sequence[str]) -> str:
    """The words as tags, which are in no question and in no answer.

    A model that looks for a word again would find the word itself first, and takes long to look past it.
    """
    return " ".join(f"#{word}" for word in words)


def row(number: int, count: int, seed: int) -> Text:
    """The text of row `number` of the phase with `count` tags: a list, and questions about what is in it."""
    random = Random(f"{seed}/text/{count}/{number}")
    while True:
        scene = now_and_then_flawed(sample_scene(random.choice(SOURCES), random), random)
        listed = tags(scene, random, count or 16)
        if count == 0 and random.random() < DESCRIPTIONS:
            return describe(scene, as_tags(listed), random)
        asked = [one for one in ask_all(scene, random) if one.answer in listed]
        if asked:
            turns = rounds(asked, random, ROUNDS, COMPARING if count else FORM_WEIGHTS)
            text = v1_text(with_context(as_tags(listed), turns))
            return by_human(text) if random.random() < HUMAN else text


def by_human(conversation: Text) -> Text:
    """The conversation with Q-Bench's system sentence, which is another than Vicuna's."""
    text, spans = conversation
    longer = len(HUMAN_SYSTEM) - len(SYSTEM)
    return text.replace(SYSTEM, HUMAN_SYSTEM, 1), [(start + longer, end + longer) for start, end in spans]


def describe(scene: Scene, context: str, random: Random) -> Text:
    """A description after its tags: an alt-text or a caption, alone or as the answer in a conversation."""
    if random.random() < 0.5:
        question = random.choice(DETAIL_QUESTIONS)
        turns = [{"from": "human", "value": question}, {"from": "gpt", "value": caption(scene)}]
        return v1_text(with_context(context, turns))
    text = f" {context}{alt_text(scene)}\n"
    return text, [(len(context) + 1, len(text))]


def phrases() -> tuple[str, ...]:
    """What is one token each: fixed questions and their endings, answers and tags with the blank before them."""
    every_value = [value for _, every in ASPECTS.values() for value in every]
    values = [f" {form}" for value in every_value for form in (value, chinese.said(value), f"#{value}")]
    questions = (question for question, _ in ASPECTS.values())
    claims = (piece for claim in (MORE, PLUS_ONE, TRANSLATED, GIVES) for piece in claim.split("{}") if piece)
    endings = (SHORT, f"?{SHORT}", LETTER, CHINESE_LETTER, DIRECTLY, INSUFFICIENT, CHOOSE)
    said = (" yes", " no", " Yes", " No", " Unanswerable")
    pieces = (CLAIMED, CHOICE, chinese.QUESTION, *questions, *DETAIL_QUESTIONS, *claims, *endings, *said, *values)
    return tuple(dict.fromkeys(pieces))
