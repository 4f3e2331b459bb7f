"""The seed captions that the quality gate rejected, which lie beside those that it accepted (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl, sidecar


class RejectedCaption(NamedTuple):
    """An image, what the teacher wrote of it, and why that was rejected."""

    image: str
    text: str
    reason: str


def rejected_captions(accepted: Path) -> Iterator[RejectedCaption]:
    """Yield what was rejected when the file `accepted` was made; nothing where there is no such record.

    A `UserError` names the row that is malformed.
    """
    path = sidecar(accepted, "rejected.jsonl")
    for number, row in enumerate(read_jsonl(path) if path.exists() else (), start=1):
        fields = [row.get(name) if isinstance(row, dict) else None for name in RejectedCaption._fields]
        if not all(isinstance(field, str) for field in fields):
            raise UserError(f"{path}, row {number}: expected the texts 'image', 'text' and 'reason'")
        yield RejectedCaption(*map(str, fields))
