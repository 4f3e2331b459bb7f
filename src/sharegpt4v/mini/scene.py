"""What a mini picture shows: a scene graph of coloured shapes, a written word, or a named thing.

A scene is drawn from a seeded generator, one kind of scene per image source of the paper (Table 1 and section 3.2):
COCO, LCS and SAM show objects; the text sources show words; the web and WikiArt sources show a cast of celebrities,
landmarks and art styles whose names no model can guess from the pixels without having been told.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

COLOURS = {
    "red": (225, 40, 40),
    "green": (40, 190, 60),
    "blue": (50, 80, 235),
    "yellow": (240, 220, 50),
    "purple": (160, 60, 200),
    "white": (250, 250, 250),
}
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = ("small", "large")
PLACES = ("top left", "top right", "bottom left", "bottom right")
BACKGROUNDS = {"night": (15, 15, 40), "fog": (130, 135, 140), "desert": (205, 165, 110), "sea": (20, 120, 130)}
WORDS = ("STOP", "CAFE", "TAXI", "OPEN", "EXIT", "SALE", "BOOK", "ZOO", "BUS", "MILK")

CELEBRITIES = ("Mira Vale", "Odo Finch", "Lena Stark", "Hugo Brandt")
LANDMARKS = {
    "Needle Tower": "Arden",
    "Twin Arch": "Belmora",
    "Pearl Dome": "Corvia",
    "Step Temple": "Dunmere",
}
ART_STYLES = {"Linearism": "Anna Reis", "Dotism": "Pavel Koss", "Wavism": "Yuki Mori", "Gridism": "Tomas Bell"}

FLAWS = ("blur", "noise", "glare", "darkness")
FLAWED = 0.1  # the share of pictures of objects that are spoilt

OBJECT_COUNTS = (1, 2, 2, 3)  # how many objects a scene has, drawn from these
DIFFERENT = 0.2  # the share of scenes whose objects are not alike

NAMED_KINDS = ("celebrity", "landmark", "artwork")
TEXT_SOURCES = ("share_textvqa", "textvqa", "ocr_vqa")
NAMED_SOURCES = {"web-celebrity": "celebrity", "web-landmark": "landmark", "wikiart": "artwork"}


@dataclass(frozen=True)
class Thing:
    """One object of a scene; `place` is a quadrant of the picture and unique within the scene."""

    shape: str
    colour: str
    size: str
    place: str


@dataclass(frozen=True)
class Scene:
    """All that a picture shows. `word` is written across the top; `kind` and `name` are set for named things; `flaw` is
    what spoils the picture."""

    background: str
    things: tuple[Thing, ...] = ()
    word: str | None = None
    kind: str | None = None
    name: str | None = None
    flaw: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The scene as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Scene:
        """The inverse of `to_json`."""
        return cls(**{**value, "things": tuple(Thing(**thing) for thing in value["things"])})


def sample_things(random: Random, count: int, places: tuple[str, ...] = PLACES) -> tuple[Thing, ...]:
    """Draw `count` objects in different places, in reading order: alike as a rule, all different now and then."""
    chosen = sorted(random.sample(places, count), key=PLACES.index)
    shapes, colours = random.sample(SHAPES, len(SHAPES)), random.sample(list(COLOURS), len(COLOURS))
    size, different = random.choice(SIZES), random.random() < DIFFERENT
    return tuple(
        Thing(shapes[number * different], colours[number * different], size, place)
        for number, place in enumerate(chosen)
    )


def sample_scene(source: str, random: Random) -> Scene:
    """Draw a scene as the image source `source` holds them; an unknown source holds objects."""
    background = random.choice(list(BACKGROUNDS))
    if source in NAMED_SOURCES:
        return named_scene(NAMED_SOURCES[source], random, background)
    if source in TEXT_SOURCES:
        return word_scene(random, background)
    if source == "llava":  # web pictures: mostly objects, some writing, some people, places and paintings
        draw = random.random()
        if draw < 0.10:
            return word_scene(random, background)
        if draw < 0.22:
            return named_scene(random.choice(NAMED_KINDS), random, background)
    return Scene(background, sample_things(random, random.choice(OBJECT_COUNTS)))


def now_and_then_flawed(scene: Scene, random: Random) -> Scene:
    """The scene, with a flaw in one of ten pictures of objects."""
    if not scene.things or random.random() >= FLAWED:
        return scene
    return replace(scene, flaw=random.choice(FLAWS))


def word_scene(random: Random, background: str) -> Scene:
    """A word across the top and up to two objects below it."""
    return Scene(background, sample_things(random, random.choice((0, 1, 2)), PLACES[2:]), word=random.choice(WORDS))


def named_scene(kind: str, random: Random, background: str) -> Scene:
    """One celebrity, landmark or artwork; `kind` is one of `NAMED_KINDS`."""
    return Scene(background, kind=kind, name=random.choice(names_of(kind)))


def names_of(kind: str) -> tuple[str, ...]:
    """The names of a kind of named thing."""
    return {"celebrity": CELEBRITIES, "landmark": tuple(LANDMARKS), "artwork": tuple(ART_STYLES)}[kind]
