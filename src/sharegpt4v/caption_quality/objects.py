"""Objects that captions name and that are not there: CHAIR (Rohrbach et al., 2018), and what captions leave out.

Objects are those of annotations in COCO's form. Which words name one is in `config/coco_objects.tsv`, written for this
project: shares are comparable with each other, and only roughly with those of the authors' longer list of words.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import orjson

from sharegpt4v.errors import UserError
from sharegpt4v.files import open_to_read

WORD = re.compile(r"[a-z0-9]+")
IRREGULAR = {"person": "people", "man": "men", "woman": "women", "child": "children", "mouse": "mice",
             "knife": "knives", "sheep": "sheep", "scissors": "scissors", "skis": "skis"}  # fmt: skip

Phrases = Mapping[str, Sequence[tuple[tuple[str, ...], str]]]
"""By their first word the phrases that name an object, longest first, each with the object."""


def read_annotations(path: Path) -> dict[str, set[str]]:
    """Return the objects of each image by its file's name, from an `instances_*.json` of COCO, read as a whole."""
    with open_to_read(path, "annotations") as file:
        try:
            found = orjson.loads(file.read())
            names = {one["id"]: str(one["name"]) for one in found["categories"]}
            files = {one["id"]: Path(one["file_name"]).name for one in found["images"]}
            objects: dict[str, set[str]] = {name: set() for name in files.values()}
            for one in found["annotations"]:
                objects[files[one["image_id"]]].add(names[one["category_id"]])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path}: no annotations of COCO ({error}); expected an instances_*.json") from None
    return objects


def read_words(path: Path) -> dict[str, list[str]]:
    """Return the other words of objects, from lines of object, tab, words separated by commas, below a header."""
    words: dict[str, list[str]] = {}
    with open_to_read(path, "words of objects") as file:
        for number, line in enumerate(file.read().decode().splitlines()[1:], start=2):
            name, tab, others = line.partition("\t")
            if not tab:
                raise UserError(f"{path}, line {number}: expected an object, a tab, and words separated by commas")
            words[name] = [one.strip() for one in others.split(",") if one.strip()]
    return words


def phrases_of(objects: Iterable[str], words: Mapping[str, list[str]]) -> Phrases:
    """Return the words, singular and plural, that name each of the objects: of one without a row, its own name."""
    names = {}
    for name in objects:
        for phrase in (name, *words.get(name, ())):
            *before, last = phrase.split()
            for form in (last, plural(last)):
                names[(*before, form)] = name
    phrases: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
    for words_of_phrase in sorted(names, key=len, reverse=True):
        phrases[words_of_phrase[0]].append((words_of_phrase, names[words_of_phrase]))
    return dict(phrases)


def plural(word: str) -> str:
    """Return the plural of a noun."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "ch", "sh")) else f"{word}s"


def objects_named(text: str, phrases: Phrases) -> set[str]:
    """Return the objects that a text names, longest phrases first: a hot dog is no dog."""
    tokens, found, place = WORD.findall(text.lower()), set(), 0
    while place < len(tokens):
        for phrase, name in phrases.get(tokens[place], ()):
            if tuple(tokens[place : place + len(phrase)]) == phrase:
                found.add(name)
                place += len(phrase)
                break
        else:
            place += 1
    return found
