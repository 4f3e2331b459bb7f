"""Whether a row is one: of a corpus in LLaVA's form, of a shard of captions, or of COCO's captions.

Others write corpora: every field is checked by its type before it is used, and an image by where its path leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError, printable
from sharegpt4v.image_paths import inside

DATA = Path("data")  # as messages call the folder that images are below
SHOWN = 60  # characters of a value in a message
STATUSES = ("accepted", "rejected")


def check_row(row: Any, place: str) -> Mapping[str, Any]:
    """Return a LLaVA row; a `UserError` names the `place` and the field of one that is not.

    It has 'conversations', a list of turns with the texts 'from' and 'value', and may have an 'id' and an 'image'.
    """
    image_of(row, place)
    if type(row.get("id", "")) not in (str, int):
        raise _wrong(place, "id", row["id"], "a text")
    turns = row.get("conversations")
    if not isinstance(turns, list):
        raise _wrong(place, "conversations", turns, "a list of turns with 'from' and 'value'")
    for number, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise _wrong(place, f"conversations[{number}]", turn, "a turn with 'from' and 'value'")
        for field in ("from", "value"):
            if not isinstance(turn.get(field), str):
                raise _wrong(place, f"conversations[{number}].{field}", turn.get(field), "a text")
    return row  # type: ignore[no-any-return]


def image_of(row: Any, place: str) -> str:
    """Return the image of a LLaVA row, which is a path below data/ or "" where there is none; else a `UserError`."""
    if not isinstance(row, dict):
        raise UserError(f"{place}: {_kind(row)}; expected a LLaVA row, an object with 'conversations'")
    image = row.get("image")
    return "" if image is None or image == "" else _path(image, place)


def check_shard_row(row: Any, place: str) -> Mapping[str, Any]:
    """Return a row of a shard of captions: the texts image, sha256, caption and status, which is one of `STATUSES`.

    A `UserError` names the `place` and the field of one that is not.
    """
    if not isinstance(row, dict):
        raise UserError(f"{place}: {_kind(row)}; expected a row of a shard of captions, an object with 'image'")
    for field in ("sha256", "caption", "status"):
        if not isinstance(row.get(field), str):
            raise _wrong(place, field, row.get(field), "a text")
    if row["status"] not in STATUSES:
        raise _wrong(place, "status", row["status"], " or ".join(STATUSES))
    _path(row.get("image"), place)
    return row


def check_annotation(row: Any, place: str) -> None:
    """Check an annotation of COCO's captions: a whole number image_id and a text caption; else a `UserError`."""
    if not isinstance(row, dict):
        raise UserError(f"{place}: {_kind(row)}; expected an object with 'image_id' and 'caption'")
    if type(row.get("image_id")) is not int:
        raise _wrong(place, "image_id", row.get("image_id"), "a whole number")
    if not isinstance(row.get("caption"), str):
        raise _wrong(place, "caption", row.get("caption"), "a text")


def _path(image: Any, place: str) -> str:
    if not isinstance(image, str):
        raise _wrong(place, "image", image, "a path below data/")
    try:
        inside(DATA, image)
    except UserError as error:
        raise UserError(f"{place}, field 'image': {error}") from None
    return image


def _wrong(place: str, field: str, value: Any, expected: str) -> UserError:
    return UserError(f"{place}, field '{field}': {_kind(value)}; expected {expected}")


def _kind(value: Any) -> str:
    """Say what a JSON value is, as short as messages need it."""
    if isinstance(value, str):
        return printable(repr(value[:SHOWN]))
    kinds = {type(None): "nothing", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return kinds.get(type(value), "an object")
