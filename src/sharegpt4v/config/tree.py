"""A config file as a tree in which every value knows its file and line.

Plain words are read as YAML 1.2 reads them, as editors do: only `true` and `false` are truth values, and `2e-5` is a
number (to PyYAML by itself it is text). JSON is read by the same way, being YAML. A file may come from anybody: size,
depth, aliases and digits are bounded, and text holds nothing that steers a terminal or ends a line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sharegpt4v.errors import UserError

COMMAND_LINE = "command line"
MOST_BYTES = 65_536
MOST_VALUES = 10_000
DEEPEST = 20
MOST_DIGITS = 18  # of a whole number, which then fits into 64 bits
TAG = "tag:yaml.org,2002:"
PLAIN_TAGS = {TAG + "str", TAG + "seq", TAG + "map"}  # what BaseLoader gives to all that bears no tag
# Control characters, line ends, marks of direction and halves of characters.
NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Entry:
    """A value, and where it comes from: a mapping holds entries by key, a list holds entries in order."""

    value: dict[str, Entry] | list[Entry] | str | int | float | bool | None
    place: str
    """`config/config.yaml, line 12`, or `command line`."""


def read_tree(path: Path) -> Entry:
    """Read a YAML or JSON file whose top is a mapping; anything else is a `UserError` with file and line."""
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path}: more than {MOST_BYTES:,} bytes; expected a config such as config/config.yaml")
        reading = _Reading(path, content.decode())
        node = reading.get_single_node()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a config such as config/config.yaml") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; expected a YAML or JSON file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a YAML or JSON file") from None
    except yaml.YAMLError as error:
        raise UserError(_syntax_error(path, error)) from None
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}, line 1: expected keys such as 'name: mini' at the top of the file")
    return reading.entry(node, _line(node), depth=0)


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
    """Return where the value at `location` stands; for one that is absent, where the mapping stands that lacks it."""
    for step in location:
        if isinstance(tree.value, dict) and step in tree.value:
            tree = tree.value[str(step)]
        elif isinstance(tree.value, list) and isinstance(step, int) and step < len(tree.value):
            tree = tree.value[step]
        else:
            break
    return tree.place


class _Reading(yaml.BaseLoader):
    """Composes the nodes of one file and turns them into entries, not too deep and not too many."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path, self.depth, self.values = path, 0, 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node as PyYAML does, unless it is too deep."""
        self.depth += 1
        self._bound(self.line + 1, self.depth - 1)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _bound(self, line: int, depth: int) -> None:
        where = f"{self.path}, line {line}"
        if depth > DEEPEST:
            raise UserError(
                f"{where}: nested more than {DEEPEST} deep; expected a plain config without loops of aliases"
            )
        if self.values > MOST_VALUES:
            raise UserError(f"{where}: more than {MOST_VALUES:,} values, aliases counted; expected a plain config")

    def entry(self, node: yaml.Node, line: int, depth: int) -> Entry:
        """Turn a YAML node into an entry; `line` is that of its key, or its own in a list."""
        self.values += 1
        self._bound(line, depth)
        place = f"{self.path}, line {line}"
        if node.tag not in PLAIN_TAGS:
            tag = node.tag.replace(TAG, "!!")
            raise UserError(f"{place}: the tag {tag} is not known here; expected a plain value")
        if isinstance(node, yaml.SequenceNode):
            return Entry([self.entry(item, _line(item), depth + 1) for item in node.value], place)
        if isinstance(node, yaml.ScalarNode):
            return Entry(_fit(node.value, place) if node.style else _scalar(node.value, place), place)
        entries: dict[str, Entry] = {}
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key_line = _line(key_node)
            where = f"{self.path}, line {key_line}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError(f"{where}: a key that is no text; expected one such as 'name'")
            key = _fit(key_node.value, where)
            if key in entries:
                raise UserError(f"{where}: {key} is given twice (first on line {first_lines[key]}); keep one of them")
            first_lines[key] = key_line
            entries[key] = self.entry(value_node, key_line, depth + 1)
        return Entry(entries, place)


def _line(node: yaml.Node) -> int:
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


def _syntax_error(path: Path, error: yaml.YAMLError) -> str:
    """Say in one line what PyYAML found wrong, and where."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"{path}: not valid YAML: {' '.join(str(error).split())}"
    message = f"{path}, line {error.problem_mark.line + 1}: not valid YAML: {error.problem}"
    if "'\\t'" in str(error.problem):
        return message + "; indent with blanks, not with tabs"
    if error.context and error.context_mark and error.context_mark.line != error.problem_mark.line:
        return message + f" ({error.context} that begins on line {error.context_mark.line + 1})"
    return message
