"""What can be measured of captions without a judge: length, repetition, objects, and facts of a known scene."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sharegpt4v.caption_quality.objects import WORD, Phrases, objects_named
from sharegpt4v.corpora.caption_files import Row

GRAM = 4  # words
COLUMNS = (
    "captions", "source", "count", "characters", "words", "repeated_percent", "objects_count", "hallucinated_percent",
    "with_hallucination_percent", "objects_found_percent", "facts_count", "fact_precision", "fact_recall",
)  # fmt: skip

Facts = Callable[[Row], tuple[int, int, int] | None]
"""Of a caption: facts that it says, how many of them hold, and how many there are; None where the scene is unknown."""


def measure(
    name: str,
    captions: Iterable[Row],
    annotated: Mapping[str, set[str]] | None = None,
    phrases: Phrases | None = None,
    facts: Facts | None = None,
) -> list[dict[str, Any]]:
    """Return a row of `COLUMNS` for all captions of a set, and one for each source where there are several.

    `annotated` are the objects of images by the name of the file. `repeated_percent` is the share of sequences of four
    words that a caption has said before; `hallucinated_percent` CHAIR_i, of the objects named those that are not there;
    `with_hallucination_percent` CHAIR_s, captions with such an object; `objects_found_percent` annotated objects that
    are named.
    """
    parts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in captions:
        objects = annotated.get(Path(row.image).name) if annotated else None
        counts = _counts(row.caption, objects, phrases or {}, facts(row) if facts else None)
        for part in ("all", row.source or "-"):
            parts[part].update(counts)
    whole = [_row(name, "all", parts.pop("all"))] if parts else []
    return whole + [_row(name, source, parts[source]) for source in sorted(parts) if len(parts) > 1]


def _counts(
    caption: str, objects: set[str] | None, phrases: Phrases, facts: tuple[int, int, int] | None
) -> dict[str, int]:
    """Count a caption; `objects` are those of its image, None where nobody annotated it."""
    words = WORD.findall(caption.lower())
    grams = list(zip(*(words[shift:] for shift in range(GRAM)), strict=False))
    counts = {"captions": 1, "characters": len(caption), "words": len(words)}
    counts |= {"grams": len(grams), "repeated": len(grams) - len(set(grams))}
    if objects is not None:
        named = objects_named(caption, phrases)
        wrong = len(named - objects)
        counts |= {"annotated": 1, "named": len(named), "wrong": wrong, "with_wrong": int(wrong > 0)}
        counts |= {"there": len(objects), "found": len(named & objects)}
    if facts is not None:
        said, right, true = facts
        counts |= {"known": 1, "said": said, "right": right, "true": true}
    return counts


def _row(name: str, source: str, sums: Counter[str]) -> dict[str, Any]:
    """Return a row of the table, shares in percent; empty where there is nothing to divide by."""
    count = sums["captions"]
    values = (
        name, source, count, f"{sums['characters'] / count:.1f}", f"{sums['words'] / count:.1f}",
        _percent(sums["repeated"], sums["grams"]), sums["annotated"], _percent(sums["wrong"], sums["named"]),
        _percent(sums["with_wrong"], sums["annotated"]), _percent(sums["found"], sums["there"]),
        sums["known"], _percent(sums["right"], sums["said"]), _percent(sums["right"], sums["true"]),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else ""
