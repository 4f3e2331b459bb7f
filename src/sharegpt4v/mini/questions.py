"""Questions that a mini scene answers, with the true answer and the wrong ones.

One list serves the instruction mix, the text that the small language model learns from, and all benchmarks; each
asks its own form: open (one word), yes/no, or multiple choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from sharegpt4v.mini.describe import COUNTS
from sharegpt4v.mini.scene import (
    ART_STYLES,
    BACKGROUNDS,
    CELEBRITIES,
    COLOURS,
    FLAWS,
    LANDMARKS,
    PLACES,
    SHAPES,
    SIZES,
    WORDS,
    Scene,
)

CLAIM = "Is this in the image: {}?"
CHOICE = "Which of these is in the image?"
ASPECTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "scene": ("Which background does the image show?", tuple(BACKGROUNDS)),
    "count": ("How many objects does the image show?", COUNTS[1:]),
    "existence": ("Which shape does the image show?", SHAPES),
    "colour": ("Which color does the image show?", tuple(COLOURS)),
    "size": ("Which size does the image show?", SIZES),
    "position": ("Which place does the image show something at?", PLACES),
    "word": ("Which word does the image show?", WORDS),
    "celebrity": ("Which person does the image show?", CELEBRITIES),
    "landmark": ("Which landmark does the image show?", tuple(LANDMARKS)),
    "artwork": ("Which style does the image show?", tuple(ART_STYLES)),
    "quality": ("Which flaw does the image show?", FLAWS),
}
"""By aspect of a scene: the open question, and every answer there is."""

FORMS = ("open", "yes/no", "choice")


@dataclass(frozen=True)
class Asked:
    """A question on one aspect of a scene. `choices` are all answers that make sense, the true one among them.

    `forms` are the forms in which the question makes sense: an open question needs one right answer.
    """

    aspect: str
    question: str
    answer: str
    choices: tuple[str, ...]
    forms: tuple[str, ...] = FORMS

    def yes_no(self, random: Random, truth: bool) -> tuple[str, str]:
        """The yes/no form with a true or a wrong answer filled in, and `yes` or `no`."""
        if truth:
            return CLAIM.format(self.answer), "yes"
        return CLAIM.format(random.choice([c for c in self.choices if c != self.answer])), "no"

    def options(self, random: Random, most: int = 4) -> tuple[list[str], str]:
        """Up to `most` options in random order, and the letter of the true one."""
        wrong = [choice for choice in self.choices if choice != self.answer]
        options = [self.answer, *random.sample(wrong, min(most - 1, len(wrong)))]
        random.shuffle(options)
        return options, "ABCD"[options.index(self.answer)]


def values_of(scene: Scene, aspect: str) -> list[str]:
    """What the scene shows of an aspect, without repeats; empty where it shows none of it."""
    if aspect == "scene":
        return [scene.background]
    if aspect == "word":
        return [scene.word] if scene.word in WORDS else []
    if aspect in ("celebrity", "landmark", "artwork"):
        return [scene.name or ""] if scene.kind == aspect else []
    if aspect == "quality":
        return [scene.flaw] if scene.flaw else []
    if aspect == "count":
        return [COUNTS[len(scene.things)]] if scene.things else []
    field = {"existence": "shape", "colour": "colour", "size": "size", "position": "place"}[aspect]
    return list(dict.fromkeys(str(getattr(thing, field)) for thing in scene.things))


def ask_all(scene: Scene, random: Random) -> list[Asked]:
    """Every question the scene answers, in the order of `ASPECTS`; a wrong choice is nowhere in the picture."""
    asked = []
    for aspect, (question, every) in ASPECTS.items():
        present = values_of(scene, aspect)
        absent = tuple(value for value in every if value not in present)
        if present and absent:
            answer = random.choice(present)
            forms = FORMS if len(present) == 1 else ("yes/no", "choice")
            asked.append(Asked(aspect, question, answer, (answer, *absent), forms))
    return asked
