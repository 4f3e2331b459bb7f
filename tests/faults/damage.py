"""Random changes of files, as a bad disk or a bad person makes them: of a value in a JSON tree, or of some bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

STRANGE: list[Any] = [
    None, True, False, -1, 0, 1, 2**31, 2**53 + 1, 2**64, 10**400, 1.5, 1e308, -1e308, float("nan"), float("inf"),
    "", " ", "x", "A", "yes", "nan", "²", "\ud800", "\x00", "\x1b[2J", "../../etc/passwd", "é" * 1000, [], [[]], [None],
    {}, {"a": 1},
    {"": {"": []}}, "9" * 5000, "[" * 1000, "{{ raise_exception('no') }}",
    "<image>", "</s>", "LlamaForCausalLM", "cuda", {"auto_map": {"AutoModel": "code.Model"}},
    {"rope_type": "yarn", "factor": 0},
    "nan nan", "inf -inf", "1e999 1", "-5 1e308", "² ½", "9" * 5000 + " 8", "0x10", "8\t6", "1_000 2",
]  # fmt: skip
values = st.sampled_from(STRANGE) | st.integers(-(2**66), 2**66) | st.text(max_size=8) | st.floats()


def places(tree: Any, above: tuple[Any, ...] = (), most: int | None = 60) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in a JSON tree; of a list or object that is longer, of the first `most`."""
    if above:
        yield above
    if isinstance(tree, dict | list):
        for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree))[:most]:
            yield from places(value, (*above, key), most)


def changed_json(data: st.DataObject, tree: Any, keys: st.SearchStrategy[str] = st.text(max_size=4)) -> Any:  # noqa: B008
    """Replace, remove, repeat or add a value somewhere in a tree; the tree itself is changed."""
    found = list(places(tree))
    if not found or data.draw(st.integers(0, 20)) == 0:
        return data.draw(values)
    place = data.draw(st.sampled_from(found))
    inner = tree
    for step in place[:-1]:
        inner = inner[step]
    key, how = place[-1], data.draw(st.sampled_from(["replace", "replace", "remove", "repeat", "add"]))
    if how == "remove":
        del inner[key]
    elif isinstance(inner, list) and how == "repeat":
        inner.insert(key, inner[key])
    elif isinstance(inner, dict) and how == "add":
        inner[data.draw(keys)] = data.draw(values)
    else:
        inner[key] = data.draw(values)
    return tree


def changed_bytes(data: st.DataObject, content: bytes) -> bytes:
    """Overwrite, cut, insert or repeat some bytes."""
    place = data.draw(st.integers(0, max(0, len(content) - 1)))
    piece = data.draw(st.binary(min_size=1, max_size=8))
    how = data.draw(st.sampled_from(["overwrite", "cut", "insert", "repeat", "empty"]))
    return {
        "overwrite": content[:place] + piece + content[place + len(piece) :],
        "cut": content[:place],
        "insert": content[:place] + piece + content[place:],
        "repeat": content[:place] + content[max(0, place - 50) :],
        "empty": b"",
    }[how]
