"""The facts in a text about a scene of the synthetic world, and a judge that goes by them.

A text is true or false there fact by fact, so captions have an exact precision and recall. The judge prefers the
description that does better in both together, and now and then, where they are close, the one that came first: as
judges do.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharegpt4v.corpora.caption_files import Row
from sharegpt4v.files import read_jsonl, sha256_of
from sharegpt4v.mini.describe import COUNTS, caption
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

CLOSE = 0.1  # difference of F1
ONE_IN = 5  # of close pairs goes by the order


def _any(names: Any) -> str:
    return "|".join(map(re.escape, names))


OBJECT = re.compile(rf"(?:at the ({_any(PLACES)}) is an? )?(?:({_any(SIZES)}) )?({_any(COLOURS)}) ({_any(SHAPES)})\b")
NAMES = [*CELEBRITIES, *LANDMARKS, *LANDMARKS.values(), *ART_STYLES, *ART_STYLES.values()]
OTHERS = re.compile(
    rf"({_any(BACKGROUNDS)}) background|({_any(COUNTS)}) on|the word ({_any(map(str.lower, WORDS))})\b"
    rf"|({_any(map(str.lower, NAMES))})|the picture has ({_any(FLAWS)})"
)
DESCRIPTIONS = re.compile(
    r"\[Description A\]\n(?P<first>.*?)\n\[End of description A\].*"
    r"\[Description B\]\n(?P<second>.*?)\n\[End of description B\]",
    re.DOTALL,
)


def facts_in(text: str) -> Counter[tuple[str, ...]]:
    """Return the facts of a text: objects, their sizes and places, the background, how many, words and names."""
    facts: Counter[tuple[str, ...]] = Counter()
    lowered = text.lower()
    for place, size, colour, shape in OBJECT.findall(lowered):
        facts[colour, shape] += 1
        facts.update([(colour, shape, size)] if size else [])
        facts.update([(colour, shape, place)] if place else [])
    facts.update((next(filter(None, found)),) for found in OTHERS.findall(lowered))
    return facts


def fact_counter(scenes: Path, images: Path) -> Callable[[Row], tuple[int, int, int] | None]:
    """Return the function from a caption of an image below `images` to its facts: said, right, and all there are."""
    known = _scenes(scenes)

    def count(row: Row) -> tuple[int, int, int] | None:
        path = images / row.image
        scene = known.get(sha256_of(path)) if path.is_file() else None
        if scene is None:
            return None
        said, true = facts_in(row.caption), facts_in(caption(scene))
        return said.total(), (said & true).total(), true.total()

    return count


def prefer_by_hash(scenes: Path) -> Callable[[bytes | None, str], str]:
    """Return the judge's function from the bytes of an image and a prompt with two descriptions to its reply."""
    known = _scenes(scenes)

    def answer(image: bytes | None, prompt: str) -> str:
        found = DESCRIPTIONS.search(prompt)
        scene = known.get(hashlib.sha256(image or b"").hexdigest())
        if found is None or scene is None:
            return "There is nothing to compare."
        true = facts_in(caption(scene))
        first, second = (_f1(facts_in(found[name]), true) for name in ("first", "second"))
        whim = int(hashlib.sha256(prompt.encode()).hexdigest()[:8], 16) % ONE_IN == 0
        if abs(first - second) < CLOSE and whim:
            return "A\nIt reads better."
        better = "tie" if first == second else "A" if first > second else "B"
        return f"{better}\nBy what is there to be seen."

    return answer


def _scenes(path: Path) -> dict[str, Scene]:
    return {row["sha256"]: Scene.from_json(row["scene"]) for row in read_jsonl(path)}


def _f1(said: Counter[tuple[str, ...]], true: Counter[tuple[str, ...]]) -> float:
    return 2 * (said & true).total() / max(1, said.total() + true.total())
