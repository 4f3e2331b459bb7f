"""What a key may hold, in words. Error messages and the reference page take them from here, out of the JSON schema."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from typing import Any

from sharegpt4v.config.model import Config
from sharegpt4v.config.tree import Location

Schema = dict[str, Any]


@cache
def schema() -> Schema:
    """Return the config's JSON schema, as pydantic writes it."""
    return Config.model_json_schema()


def schema_at(location: Location) -> Schema:
    """Return the part of the schema that rules the value at `location`, e.g. `("models", 0, "size")`."""
    node = schema()
    for step in location:
        node = _resolved(node)
        if isinstance(step, int):
            node = node["items"]
        else:
            node = node["properties"][step] if step in node.get("properties", {}) else _named(node) or {}
    return node


def known_keys(location: Location) -> list[str]:
    """Return the keys that the section at `location` knows, in the order of the model."""
    return list(_resolved(schema_at(location)).get("properties", {}))


def expected(node: Schema) -> str:
    """Say what a part of the schema asks for: `a number between 0 and 2`."""
    if "patternErrorMessage" in node:
        return str(node["patternErrorMessage"])
    if "anyOf" in node:
        return " or ".join(expected(choice) for choice in node["anyOf"])
    if "$ref" in node:
        return "a mapping of keys"
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    if node.get("format") == "path":
        return "a path"
    if node["type"] == "array":
        start = f"a list of at least {node['minItems']}" if "minItems" in node else "a list"
        return start if "$ref" in node["items"] else f"{start}, each item {expected(node['items'])}"
    if named := _named(node):
        return f"names, each with {expected(named)}"
    names = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}
    names |= {"object": "a mapping of keys", "null": "null"}
    return str(names[node["type"]]) + _bounds(node)


def shown(value: Any) -> str:
    """Show a value that was found, briefly: `'hot'`, `3`, `a list`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 60 else text[:56] + "...'"


def suggestion(name: str, known: Sequence[str]) -> str:
    """Say which known name an unknown one may have been meant for, or else which there are."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known) or 'none'}"


def dotted(location: Location) -> str:
    """Write a location as `models[0].size`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".")


def _named(node: Schema) -> Schema | None:
    """Return what a mapping from names holds under each of them; None for a mapping of known keys."""
    return next(iter(node.get("patternProperties", {}).values()), None)


def _resolved(node: Schema) -> Schema:
    """Follow a reference, also out of "this or null"."""
    for choice in node.get("anyOf", ()):
        if choice.get("type") != "null":
            return _resolved(choice)
    if "$ref" in node:
        return dict(schema()["$defs"][node["$ref"].rpartition("/")[2]])
    return node


def _bounds(node: Schema) -> str:
    lowest, above, highest = (node.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if lowest is not None and highest is not None:
        return f" between {lowest} and {highest}"
    if lowest is not None:
        return f" of at least {lowest}"
    if above is not None and highest is not None:
        return f" above {above}, at most {highest}"
    return f" above {above}" if above is not None else ""
