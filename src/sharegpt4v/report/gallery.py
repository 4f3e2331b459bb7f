"""A gallery per source: images with their captions of every set, and beside them what the gate rejected, and why.

What is shown is drawn by a hash of the image's path, never chosen: of the drawn images those come first that most sets
have a caption of, so that captions can be compared.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sharegpt4v import layout
from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.corpora.rows import source_of
from sharegpt4v.image_paths import inside
from sharegpt4v.report.caption_sets import CaptionSet, Entry
from sharegpt4v.report.pictures import Picture, Pictures

DRAWN = 48  # images of each set and source among which those with most captions are looked for
ACCEPTED, REJECTED = 3, 2  # shown of each source
SOURCES = 24  # shown; more are named

Drawn = list[tuple[float, str]]
"""Images by their hash, the smallest first."""


@dataclass(frozen=True)
class Accepted:
    """An image and its captions, one for each set of the gallery; None where a set has none of it."""

    image: str
    picture: Picture
    captions: Sequence[str | None]


@dataclass(frozen=True)
class Rejected:
    """A caption that the gate rejected, and why."""

    image: str
    picture: Picture
    set: str
    text: str
    reason: str


@dataclass(frozen=True)
class Source:
    """What is shown of a source.

    `counts` is a line for each set: accepted ones, and rejected ones by reason. `without` are the sets that have
    nothing of the source.
    """

    name: str
    counts: Sequence[str]
    without: Sequence[str]
    accepted: Sequence[Accepted]
    rejected: Sequence[Rejected]


@dataclass(frozen=True)
class Gallery:
    """The galleries of a run; `sets` are the columns, `more` the sources that are not shown."""

    sets: Sequence[str]
    sources: Sequence[Source]
    more: Sequence[str]


@dataclass
class _Found:
    """What a first reading finds in a source."""

    accepted: dict[str, Drawn] = field(default_factory=dict)  # by set
    rejected: list[tuple[float, str, Entry]] = field(default_factory=list)  # hash, set, entry
    counts: dict[str, Counter[str]] = field(default_factory=dict)  # by set: reason, "" for accepted


def gallery_of(sets: Sequence[CaptionSet], seed: int, pictures: Pictures) -> Gallery:
    """Read the sets twice, as streams, and return what is shown of them."""
    found: dict[str, _Found] = {}
    for one in sets:
        for entry in one.entries():
            _draw(found.setdefault(source_of(entry.image), _Found()), one.name, entry, seed)
    names = sorted(found)
    wanted = {image for name in names[:SOURCES] for drawn in found[name].accepted.values() for _, image in drawn}
    captions: dict[str, dict[str, str]] = {image: {} for image in wanted}
    for one in sets:
        for entry in one.entries():
            if entry.image in wanted and not entry.reason:
                captions[entry.image][one.name] = entry.text
    titles = [one.name for one in sets]
    shown = [_source(name, found[name], titles, captions, pictures) for name in names[:SOURCES]]
    return Gallery(titles, shown, names[SOURCES:])


def _draw(found: _Found, name: str, entry: Entry, seed: int) -> None:
    found.counts.setdefault(name, Counter())[entry.reason] += 1
    place = hash_fraction(seed, "report", entry.image)
    if entry.reason:
        insort(found.rejected, (place, name, entry), key=lambda one: one[:2])
        del found.rejected[REJECTED:]
        return
    drawn = found.accepted.setdefault(name, [])
    if len(drawn) < DRAWN or place < drawn[-1][0]:
        insort(drawn, (place, entry.image))
        del drawn[DRAWN:]


def _source(
    name: str, found: _Found, sets: Sequence[str], captions: dict[str, dict[str, str]], pictures: Pictures
) -> Source:
    drawn = {image: place for of_set in found.accepted.values() for place, image in of_set}
    most_captions = sorted(drawn, key=lambda image: (-len(captions[image]), drawn[image]))
    accepted = [
        Accepted(image, _picture(image, pictures), [captions[image].get(one) for one in sets])
        for image in most_captions[:ACCEPTED]
    ]
    rejected = [
        Rejected(entry.image, _picture(entry.image, pictures), of_set, entry.text, entry.reason)
        for _, of_set, entry in found.rejected
    ]
    counts = [_count(one, found.counts[one]) for one in sets if one in found.counts]
    return Source(name, counts, [one for one in sets if one not in found.counts], accepted, rejected)


def _picture(image: str, pictures: Pictures) -> Picture:
    return pictures.of_image(inside(layout.DATA, image), f"image {image}")


def _count(name: str, counts: Counter[str]) -> str:
    reasons = [f"{count:,} rejected: {reason}" for reason, count in sorted(counts.items()) if reason]
    captions = f"{counts['']:,} captions"
    return f"{name}: {', '.join([captions, *reasons])}"
