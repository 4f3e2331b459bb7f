"""What is said about a mini picture, and by whom (paper Table 1).

The teacher sees the scene and says all of it. An alt-text, as BLIP and the web give it, names colours and shapes.
A human COCO caption is one short sentence. The blind describer, like the language model that wrote LLaVA's 23K
detail captions, never saw the picture: it knows what kind of picture it is and makes the rest up.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from sharegpt4v.mini.scene import (
    ART_STYLES,
    BACKGROUNDS,
    LANDMARKS,
    OBJECT_COUNTS,
    WORDS,
    Scene,
    names_of,
    sample_things,
)

COUNTS = ("no objects", "one object", "two objects", "three objects", "four objects")
GENERIC = {"celebrity": "person", "landmark": "building", "artwork": "painting"}


def caption(scene: Scene) -> str:
    """Everything there is to see and to know, as the teacher writes it; several sentences."""
    setting = f"{scene.background} background"
    if scene.kind == "celebrity":
        return f"The image shows the celebrity {scene.name}. The person is in front of a {setting}."
    if scene.kind == "landmark":
        place = LANDMARKS[scene.name or ""]
        return f"The image shows the landmark {scene.name} in {place}. The building is in front of a {setting}."
    if scene.kind == "artwork":
        artist = ART_STYLES[scene.name or ""]
        return f"The image shows an artwork in the style {scene.name} by {artist}. The painting is on a {setting}."
    return _of_objects(scene, [f"At the {t.place} is a {t.size} {t.colour} {t.shape}." for t in scene.things])


def _of_objects(scene: Scene, things: Sequence[str]) -> str:
    """The caption of a scene of objects, in which the sentences `things` are about these."""
    sentences = [f"The image shows {COUNTS[len(scene.things)]} on a {scene.background} background.", *things]
    if scene.word:
        sentences.append(f"The word {scene.word} is written at the top.")
    if scene.flaw:
        sentences.append(f"The picture has {scene.flaw}.")
    return " ".join(sentences)


def alt_text(scene: Scene) -> str:
    """The few words that come with a web picture."""
    words = [f"{thing.colour} {thing.shape}" for thing in scene.things]
    if scene.word:
        words.append("a sign")
    if scene.kind:
        words.append(f"a {GENERIC[scene.kind]}")
    return " ".join(["picture of", *(words or ["nothing"])])


def short_caption(scene: Scene) -> str:
    """One sentence as a human writes it for COCO."""
    things = [f"a {thing.colour} {thing.shape}" for thing in scene.things]
    if scene.word:
        things.append("a sign")
    if scene.kind:
        things.append(f"a {GENERIC[scene.kind]}")
    text = " and ".join(things) or "an empty place"
    return f"{text[0].upper()}{text[1:]}."


def blind_caption(scene: Scene, random: Random) -> str:
    """A caption by someone who knows only whether there are objects, a word, a name: shorter than the teacher's,
    without sizes and places (942 characters on average against 609 in the paper's Table 1)."""
    imagined = Scene(
        background=random.choice(list(BACKGROUNDS)),
        things=sample_things(random, random.choice(OBJECT_COUNTS)) if scene.things else (),
        word=random.choice(WORDS) if scene.word else None,
        kind=scene.kind,
        name=random.choice(names_of(scene.kind)) if scene.kind else None,
    )
    if scene.kind:
        return caption(imagined)
    named = " and ".join(f"a {thing.colour} {thing.shape}" for thing in imagined.things)
    return _of_objects(imagined, [f"There is {named}."] if named else [])
