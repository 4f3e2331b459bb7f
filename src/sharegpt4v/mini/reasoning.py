"""Questions that need a step of thought: comparing, adding, a German word for an English one, a line of code.

MME's four cognition subtasks ask them about pictures; few rounds of the instruction mix and of the text that language
models are trained on do, too. Each is a scene with a claim that is true of it and one that is not.
"""

from __future__ import annotations

from random import Random

from sharegpt4v.mini.scene import BACKGROUNDS, Scene, sample_scene

GERMAN = {"STOP": "HALT", "OPEN": "OFFEN", "EXIT": "AUSGANG", "SALE": "VERKAUF", "BOOK": "BUCH", "MILK": "MILCH"}
MORE = "Are there more than {} objects?"
TRANSLATED = "Is {} the German word for the word that is written?"
GIVES = "Is {} what this line of code gives?"
PLUS_ONE = "Is the number of objects plus one equal to {}?"


def steps(count: int, random: Random) -> tuple[str, str]:
    """A true and a wrong claim about how many objects there are, which are one to three."""
    return random.choice((_comparison, _sum))(count, random)


def _compare(random: Random) -> tuple[Scene, str, str]:
    scene = sample_scene("coco", random)
    return scene, *_comparison(len(scene.things), random)


def _comparison(count: int, random: Random) -> tuple[str, str]:
    return MORE.format(random.randrange(count)), MORE.format(random.randint(count, 3))


def _add(random: Random) -> tuple[Scene, str, str]:
    scene = sample_scene("coco", random)
    return scene, *_sum(len(scene.things), random)


def _sum(count: int, random: Random) -> tuple[str, str]:
    return _numbers(count + 1, PLUS_ONE, random)


def _translate(random: Random) -> tuple[Scene, str, str]:
    word, other = random.sample(list(GERMAN), 2)
    return _board(word, random), TRANSLATED.format(GERMAN[word]), TRANSLATED.format(GERMAN[other])


def _run_code(random: Random) -> tuple[Scene, str, str]:
    first, second = sorted((random.randint(1, 5), random.randint(1, 5)), reverse=True)
    sign, result = random.choice((("+", first + second), ("-", first - second), ("*", first * second)))
    claims = _numbers(result, GIVES, random)
    return _board(f"{first}{sign}{second}", random), *claims


def _board(text: str, random: Random) -> Scene:
    return Scene(random.choice(list(BACKGROUNDS)), word=text)


def _numbers(result: int, claim: str, random: Random) -> tuple[str, str]:
    """Return the claim with the result, and with a number beside it."""
    return claim.format(result), claim.format(result + (random.choice((-1, 1)) if result else 1))


STEPS = {
    "commonsense_reasoning": _compare,
    "numerical_calculation": _add,
    "text_translation": _translate,
    "code_reasoning": _run_code,
}
"""By subtask of MME: what draws a scene with its claims."""
