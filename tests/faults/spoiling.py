"""Other values in some places of a JSON text, as an endpoint that errs may send them."""

from __future__ import annotations

import json
from typing import Any

from asking import KEY

Place = tuple[str | int, ...]  # keys and numbers on the way there
ODD_VALUES: list[Any] = [
    None, True, 0, -1, 3, 1.5, -0.0, 10**18, 2**63, 2**64, 10**4000, -(10**400), float("nan"), float("inf"), "", "12",
    "text", "\ud800", "a\udfff", "\0", "\x1b[2J\r\n", "\u2028", "\ufeff", KEY, [], [[]], {}, {"a": 1}, [None], [3, "x"],
    "x" * 20_000, {"type": "text", "text": "x"}, [{"type": "text", "text": 5}], [{"type": "image_url"}], [0] * 5000,
]  # fmt: skip


def changed(value: Any, place: Any, new: Any) -> Any:
    """`value` with `new` at the place; without what is there when `new` is `...`."""
    if not place:
        return new
    copy: Any = value.copy()
    if new is ... and len(place) == 1:
        if isinstance(copy, list) or place[0] in copy:
            del copy[place[0]]
    elif isinstance(place[0], int) or place[0] in copy or len(place) == 1:
        copy[place[0]] = changed(copy[place[0]] if len(place) > 1 else None, place[1:], new)
    return copy


def spoiled_at(places: list[tuple[Place, Any]], body: bytes) -> bytes:
    """JSON with other values in some places."""
    value = json.loads(body)
    for place, new in places:
        try:
            value = changed(value, place, new)
        except (TypeError, AttributeError, IndexError, KeyError):
            continue  # an earlier change has taken the place away
    return b"" if value is ... else json.dumps(value).encode()
