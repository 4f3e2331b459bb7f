"""A config file as a tree in which every value knows its file and line.

ruamel.yaml composes the nodes. Plain words are read here, as YAML 1.2 and editors read them: only `true` and `false`
are truth values, `2e-5` is a number, and `010` is ten. JSON is read in the same way, being YAML. A file may come from
anybody: size, depth, aliases and digits are bounded, and text holds nothing that steers a terminal or ends a line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sharegpt4v.config.composing import DEEPEST, compose
from sharegpt4v.errors import UserError

COMMAND_LINE = "command line"
MOST_BYTES = 40_000  # twice what the ablations take with every key resolved
MOST_VALUES = 4_000  # with the aliases
MOST_DIGITS = 18  # of a whole number, which then fits into 64 bits
TAG = "tag:yaml.org,2002:"
PLAIN_TAGS = {TAG + "str", TAG + "seq", TAG + "map"}  # what `compose` gives to all that has no tag
# Control characters, line ends, marks of direction and halves of characters.
NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Entry:
    """A value, and where it comes from: a mapping holds entries by key, a list holds entries in order."""

    value: dict[str, Entry] | list[Entry] | str | int | float | bool | None
    place: str
    """`config/config.yaml:12`, or `command line`."""


def read_tree(path: Path) -> Entry:
    """Read a YAML or JSON file whose top is a mapping; anything else is a `UserError` with file and line."""
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path}: more than {MOST_BYTES:,} bytes; expected a config such as config/config.yaml")
        node = compose(content.decode())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a config such as config/config.yaml") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; expected a YAML or JSON file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a YAML or JSON file") from None
    except MaxDepthExceededError as error:
        raise _too_deep(f"{path}:{error.problem_mark.line + 1}") from None
    except YAMLError as error:
        raise UserError(_syntax_error(path, error)) from None
    if not isinstance(node, MappingNode):
        raise UserError(f"{path}:1: expected keys such as 'name: mini' at the top of the file")
    return _Reading(path).entry(node, _line(node), depth=0)


def tree_of(value: Any, place: str = COMMAND_LINE) -> Entry:
    """Turn plain Python values into a tree. Text is read as in a file: Snakemake gives nested values so."""
    if isinstance(value, Mapping):
        return Entry({_fit(str(key), place): tree_of(inner, place) for key, inner in value.items()}, place)
    if isinstance(value, list | tuple):
        return Entry([tree_of(inner, place) for inner in value], place)
    if value is None or isinstance(value, bool | float):
        return Entry(value, place)
    return Entry(_scalar(str(value), place), place)


def merge(below: Entry, above: Entry) -> Entry:
    """Lay `above` over `below`: mappings merge key by key, anything else (lists too) replaces what was there."""
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    merged = dict(below.value)
    for key, entry in above.value.items():
        merged[key] = merge(merged[key], entry) if key in merged else entry
    return Entry(merged, above.place)


def plain(entry: Entry) -> Any:
    """Return the tree's values without their places."""
    if isinstance(entry.value, dict):
        return {key: plain(inner) for key, inner in entry.value.items()}
    if isinstance(entry.value, list):
        return [plain(inner) for inner in entry.value]
    return entry.value


def place_of(tree: Entry, location: Location) -> str:
    """Return the place of the value at `location`; for one that is absent, the place of the mapping that lacks it."""
    for step in location:
        if isinstance(tree.value, dict) and step in tree.value:
            tree = tree.value[str(step)]
        elif isinstance(tree.value, list) and isinstance(step, int) and step < len(tree.value):
            tree = tree.value[step]
        else:
            break
    return tree.place


def _too_deep(place: str) -> UserError:
    return UserError(f"{place}: nested more than {DEEPEST} deep; expected a plain config without loops of aliases")


class _Reading:
    """Turns the nodes of one file into entries, not too deep and not too many."""

    def __init__(self, path: Path) -> None:
        self.path, self.values = path, 0

    def entry(self, node: Node, line: int, depth: int) -> Entry:
        """Turn a YAML node into an entry; `line` is that of its key, or its own in a list."""
        self.values += 1
        place = f"{self.path}:{line}"
        if depth > DEEPEST:
            raise _too_deep(place)
        if self.values > MOST_VALUES:
            raise UserError(f"{place}: more than {MOST_VALUES:,} values, aliases counted; expected a plain config")
        if node.tag not in PLAIN_TAGS:
            tag = str(node.tag).replace(TAG, "!!")
            raise UserError(f"{place}: the tag {tag} is not known here; expected a plain value")
        if isinstance(node, SequenceNode):
            return Entry([self.entry(item, _line(item), depth + 1) for item in node.value], place)
        if isinstance(node, ScalarNode):
            return Entry(_fit(node.value, place) if node.style else _scalar(node.value, place), place)
        entries: dict[str, Entry] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key_line = _line(key_node)
            where = f"{self.path}:{key_line}"
            if not isinstance(key_node, ScalarNode):
                raise UserError(f"{where}: a key that is no text; expected one such as 'name'")
            key = _fit(key_node.value, where)
            if key in entries:
                raise UserError(f"{where}: {key} is given twice (first on line {first_lines[key]}); keep one of them")
            first_lines[key] = key_line
            entries[key] = self.entry(value_node, key_line, depth + 1)
        return Entry(entries, place)


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _scalar(text: str, place: str) -> str | int | float | bool | None:
    """Read an unquoted word as YAML 1.2 does."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[-+]?[0-9]+", text):
        if len(text.lstrip("-+")) > MOST_DIGITS:
            raise UserError(f"{place}: a number of {len(text):,} digits; expected at most {MOST_DIGITS}")
        return int(text)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        return float(text)
    return _fit(text, place)


def _fit(text: str, place: str) -> str:
    """Return a text or key as it is; a `UserError` when it holds what is no text on a single line."""
    if found := NO_TEXT.search(text):
        raise UserError(
            f"{place}: {text[:60]!r} holds the character U+{ord(found[0]):04X}; expected text on one line without "
            "control characters"
        )
    return text


def _syntax_error(path: Path, error: YAMLError) -> str:
    """Say in one line what ruamel.yaml found wrong, and where."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return f"{path}: not valid YAML: {' '.join(str(error).split())}"
    message = f"{path}:{error.problem_mark.line + 1}: not valid YAML: {error.problem}"
    if "'\\t'" in str(error.problem):
        return message + "; indent with blanks, not with tabs"
    if error.context and error.context_mark and error.context_mark.line != error.problem_mark.line:
        return message + f" ({error.context} that begins on line {error.context_mark.line + 1})"
    return message
