"""Questions that a mini scene answers, with the true answer and the wrong ones.

One list serves the instruction mix, the text that the small language model learns from, and all benchmarks; each
asks its own form: open (one word), yes/no, or multiple choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from sharegpt4v.mini.scene import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, WORDS, Scene, names_of

NUMBERS = ("1", "2", "3")


FORMS = ("open", "yes/no", "choice")


@dataclass(frozen=True)
class Asked:
    """A question on one aspect of a scene. `choices` are all answers that make sense, the true one among them.

    `claim` is the yes/no form with a `{}` for an answer. `forms` are the forms in which the question makes sense.
    """

    aspect: str
    question: str
    answer: str
    choices: tuple[str, ...]
    claim: str
    forms: tuple[str, ...] = FORMS

    def yes_no(self, random: Random, truth: bool) -> tuple[str, str]:
        """The yes/no form with a true or a wrong answer filled in, and `yes` or `no`."""
        if truth:
            return self.claim.format(self.answer), "yes"
        return self.claim.format(random.choice([c for c in self.choices if c != self.answer])), "no"

    def options(self, random: Random, most: int = 4) -> tuple[list[str], str]:
        """Up to `most` options in random order, and the letter of the true one."""
        wrong = [choice for choice in self.choices if choice != self.answer]
        options = [self.answer, *random.sample(wrong, min(most - 1, len(wrong)))]
        random.shuffle(options)
        return options, "ABCD"[options.index(self.answer)]


def ask_all(scene: Scene, random: Random) -> list[Asked]:
    """Every question the scene answers, in a fixed order; `random` only picks which of several things is asked for."""
    asked = [_scene(scene)]
    if scene.kind:
        return [*asked, _named(scene)]
    if scene.word:
        asked.append(Asked("word", "What word is written?", scene.word, WORDS, "Is the word {} written?"))
    if scene.things:
        asked += [*_presence(scene, random), *_attributes(scene)]
    return asked


def _scene(scene: Scene) -> Asked:
    return Asked("scene", "What is the background?", scene.background, tuple(BACKGROUNDS), "Is the background {}?")


def _presence(scene: Scene, random: Random) -> list[Asked]:
    """What is there anywhere in the picture; a wrong answer is one that is not there at all.

    The open form is asked where all objects agree, so that there is one right answer.
    """
    asked = [Asked("count", "How many objects are there?", str(len(scene.things)), NUMBERS, "Are there {} objects?")]
    for aspect, question, field, every, claim in (
        ("existence", "Which shape is in the image?", "shape", SHAPES, "Is there a {} in the image?"),
        ("colour", "Which color is in the image?", "colour", tuple(COLOURS), "Is there a {} object in the image?"),
        ("size", "Which size is in the image?", "size", SIZES, "Is there a {} object in the image?"),
        ("position", "Where is there an object?", "place", PLACES, "Is there an object at the {}?"),
    ):
        present = {str(getattr(thing, field)) for thing in scene.things}
        answer = random.choice(sorted(present))
        absent = tuple(choice for choice in every if choice not in present)
        forms = FORMS if len(present) == 1 else ("yes/no", "choice")
        if absent:
            asked.append(Asked(aspect, question, answer, (answer, *absent), claim, forms))
    return asked


def _attributes(scene: Scene) -> list[Asked]:
    """The colour of an object that its shape tells from the others."""
    shapes = [thing.shape for thing in scene.things]
    return [
        Asked("colour of", f"What color is the {thing.shape}?", thing.colour, tuple(COLOURS), f"Is the {thing.shape} {{}}?")
        for thing in scene.things
        if len(set(shapes)) > 1 and shapes.count(thing.shape) == 1
    ]


def _named(scene: Scene) -> Asked:
    kind, name = scene.kind or "", scene.name or ""
    question, claim = {
        "celebrity": ("Who is this person?", "Is this person {}?"),
        "landmark": ("What is the name of this landmark?", "Is this landmark {}?"),
        "artwork": ("What is the style of this artwork?", "Is the style of this artwork {}?"),
    }[kind]
    return Asked(kind, question, name, names_of(kind), claim)
