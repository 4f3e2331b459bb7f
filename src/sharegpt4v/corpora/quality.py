"""The gate for captions: what a teacher or a captioner wrote that must not reach training.

The cases are the ones reported for the published data and for others of its kind: the prompt comes back in the
caption ("no imaginary content"), refusals, file names, loops, cut-off or empty texts, one text on many images.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from sharegpt4v.config.quality import Quality
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_jsonl

REASONS = (
    "empty",
    "refusal",
    "cut off",
    "prompt echo",
    "file name",
    "repetition",
    "too short",
    "too long",
    "duplicate",
)
OPENING_CHARACTERS = 200
# Both look at small letters, which is quicker than to tell the program not to care.
REFUSAL = re.compile(
    r"\b(i'm|i am|we are)( very| really)? sorry\b"
    r"|^sorry\b"
    r"|\bi (can't|cannot|can not|am unable to|am not able to|won't)( directly| currently)?"
    r" (help|assist|identify|recogni[sz]e|provide|describe|process|view|see|access|fulfil|comply|answer|determine)"
    r"|\bi'm (unable|not able) to\b"
    r"|\bas an? (ai|language|artificial)\b"
    r"|\b(unable|not able) to (process|view|access|analy[sz]e) (the|this|your) (image|picture|request)"
)
ECHO = re.compile(
    r"\b(no|any|without|free of|free from|avoids?|avoiding|excludes?|excluding|omits?|omitting)( any| all)?"
    r" (imaginary|imagined|imaginative|fictional|invented|speculative)( or \w+)?"
    r" (content|contents|details?|elements?|information|descriptions?)"
    r"|\bas (you )?(requested|instructed)\b"
    r"|\b(avoid\w*|without|minimi[sz]\w+)( \w+){0,3} aesthetic (language|description|descriptions|wording|terms)"
)
WORD = re.compile(r"\w+")
LONGEST_LOOP_WORDS = 25
REPEATED_WORDS = 8


@dataclass(frozen=True)
class Caption:
    """A text to be examined. `prompt` may be empty (captioner), `finish_reason` is the endpoint's."""

    image: str
    source: str
    text: str
    prompt: str = ""
    finish_reason: str | None = "stop"


def examine(captions: Sequence[Caption], limits: Quality) -> list[str | None]:
    """Return for each caption why it is rejected, or None; this also sees texts of too many images."""
    return with_duplicates(
        (
            (
                caption.text,
                reject_reason(caption.text, caption.prompt, caption.image, limits, caption.finish_reason),
            )
            for caption in captions
        ),
        limits,
    )


def with_duplicates(examined: Iterable[tuple[str | None, str | None]], limits: Quality) -> list[str | None]:
    """Return the reasons of texts with theirs, and "duplicate" for one without that too many captions have.

    An image without a text, None, is nobody's copy.
    """
    # A hundred thousand texts need not be held: their hashes are enough.
    hashed = [(None if text is None else hash(text.strip()), reason) for text, reason in examined]
    copies: Counter[int | None] = Counter(one for one, _ in hashed if one is not None)
    return [reason or ("duplicate" if copies[one] > limits.most_copies else None) for one, reason in hashed]


def count_reasons(sources: Sequence[str], reasons: Sequence[str | None]) -> dict[str, dict[str, int]]:
    """Return source → reason (or "accepted") → number of captions, sources and reasons sorted."""
    counts = Counter((source, reason or "accepted") for source, reason in zip(sources, reasons, strict=True))
    table: dict[str, dict[str, int]] = {}
    for (source, reason), number in sorted(counts.items()):
        table.setdefault(source, {})[reason] = number
    return table


def print_counts(what: str, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Print a line per source, from what `count_reasons` returns."""
    for source, reasons in counts.items():
        parts = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
        print(f"{what} of {source}: {parts}", file=sys.stderr)


def too_many(reasons: Sequence[str | None], limit: float) -> bool:
    """Say whether more than the fraction `limit` is rejected."""
    return len(reasons) - reasons.count(None) > limit * len(reasons)


def refuse_too_many(
    what: str,
    reasons: Sequence[str | None],
    rejected: Iterable[Mapping[str, Any]],
    limit: float,
    path: Path,
    remedy: str,
) -> None:
    """Raise a `UserError`, after writing the rejected rows to `path`, when they are more than `limit` of all."""
    if not too_many(reasons, limit):
        return
    counts = Counter(reason for reason in reasons if reason)
    write_jsonl(path, rejected)
    common = ", ".join(f"{n:,} {reason}" for reason, n in counts.most_common(3))
    raise UserError(
        f"{what}: {counts.total():,} of {len(reasons):,} images have no usable caption ({common}), the limit is "
        f"{limit:.1%}; see {path}, then {remedy}"
    )


def reject_reason(
    caption: str, prompt: str, image_path: str, limits: Quality, finish_reason: str | None = "stop"
) -> str | None:
    """Return one of `REASONS` when the text must not be used as the caption of the image, else None.

    It depends on its arguments alone. `prompt` may be empty: then only known remarks count as an echo.
    """
    text = caption.strip().replace("’", "'")
    lowered = text.lower()
    words = WORD.findall(lowered)
    if finish_reason == "content_filter" or REFUSAL.search(lowered[:OPENING_CHARACTERS]):
        return "refusal"
    if not words:
        return "empty"
    if finish_reason == "length":
        return "cut off"
    if ECHO.search(lowered) or shares_words(words, prompt, limits.overlap_words):
        return "prompt echo"
    if names_file(text, image_path):
        return "file name"
    if loops(words, limits.loops):
        return "repetition"
    if len(text) < limits.shortest_characters:
        return "too short"
    if len(text) > limits.longest_characters:
        return "too long"
    return None


def shares_words(words: Sequence[str], prompt: str, count: int) -> bool:
    """Say whether `count` words in a row are in both texts."""
    runs = _runs(prompt, count)
    return bool(runs) and not runs.isdisjoint(zip(*(words[i:] for i in range(count)), strict=False))


@lru_cache(maxsize=64)
def _runs(text: str, count: int) -> frozenset[tuple[str, ...]]:
    """Return all runs of `count` words of a text."""
    words = WORD.findall(text.lower())
    return frozenset(zip(*(words[i:] for i in range(count)), strict=False))


def names_file(text: str, image_path: str) -> bool:
    """Say whether the text holds the image's file name, or its stem when no sentence would hold that by chance."""
    path = PurePosixPath(image_path)
    # A stem such as "dog" or "2017" is an ordinary word; one such as "sa_17478" or "000000000009" is not.
    telling = len(path.stem) >= 5 and bool(re.search(r"[\d_]", path.stem))
    if path.stem.lower() not in text.lower() or not (path.suffix or telling):
        return False
    names = [re.escape(name) for name in [path.name] * bool(path.suffix) + [path.stem] * telling]
    return bool(re.search(rf"(?<!\w)({'|'.join(names)})(?!\w)", text, re.IGNORECASE))


def loops(words: Sequence[str], times: int) -> bool:
    """Say whether some words come `times` times: up to 25 of them in a row, or the same eight anywhere."""
    # In either case some four words in a row come nearly as often, which few captions have and is quick to see.
    fours = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    if max(fours.values(), default=0) < min(times - 1, 5):
        return False
    for length in range(1, min(LONGEST_LOOP_WORDS, len(words) // times) + 1):
        # Single words come twice or thrice for emphasis, so a loop has eight words at least.
        needed, run = max(length * (times - 1), REPEATED_WORDS - length), 0
        for position in range(length, len(words)):
            run = run + 1 if words[position] == words[position - length] else 0
            if run >= needed:
                return True
    runs = Counter(zip(*(words[i:] for i in range(REPEATED_WORDS)), strict=False))
    return max(runs.values(), default=0) >= times
