"""Verdicts of people about captions: `s4v review` keeps them, and the quality gate takes them (key `reviewed`).

The file is a ledger, one JSON line per verdict: {key, image, caption_sha256, verdict, reason}, where a later line
replaces an earlier one of the same key. A verdict is about one caption of one image: another caption of the image, or
the same text of another image, has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError, printable
from sharegpt4v.ledger import key_of, read_ledger
from sharegpt4v.project import of_project

ACCEPTED, REJECTED = "accepted", "rejected"
REVIEWED = "reviewed"
"""The reason of the gate against a caption that a person has rejected."""


def verdict_key(image: str, caption: str) -> str:
    """Return the key of verdicts about a caption; blanks around it do not count, as they differ between files."""
    return key_of(image, caption_hash(caption))


def caption_hash(caption: str) -> str:
    """Return the SHA-256 of a caption without the blanks around it."""
    return hashlib.sha256(caption.strip().encode()).hexdigest()


def record_of(image: str, caption: str, verdict: str | None, reason: str | None) -> dict[str, Any]:
    """Return what the file keeps below `verdict_key`; a verdict of None takes an earlier one back."""
    return {"image": image, "caption_sha256": caption_hash(caption), "verdict": verdict, "reason": reason}


class Verdicts:
    """The verdicts of a file; none where there is no file (None). What is no such file is a `UserError`."""

    def __init__(self, path: Path | None) -> None:
        self._verdicts: dict[str, str] = {}
        for record in read_ledger(of_project(path)) if path else ():
            _check(record, path)
            if record["verdict"]:
                self._verdicts[record["key"]] = record["verdict"]

    def of(self, image: str, caption: str | None) -> str | None:
        """Return the verdict about a caption, `ACCEPTED` or `REJECTED`; None where nobody gave one.

        What is no caption, None or blank, has none: it could not be accepted.
        """
        if not self._verdicts or caption is None or not caption.strip():
            return None
        return self._verdicts.get(verdict_key(image, caption))


def after_review(reason: str | None, verdict: str | None) -> str | None:
    """Return the gate's `reason` against a caption, None for none, after the verdict of a person about it.

    A rejected caption has the reason `REVIEWED`. An accepted one has none, whatever the gate says: a person has seen it
    beside its image, and the gate has only read it.
    """
    if verdict is None:
        return reason
    return REVIEWED if verdict == REJECTED else None


def _check(record: Mapping[str, Any], path: Path | None) -> None:
    """Raise a `UserError` for a line that would be without effect, or with another than its text says."""
    place = f"{path}, key {printable(record['key'][:32])}"
    if record.get("verdict") not in (ACCEPTED, REJECTED, None):
        raise UserError(f"{place}: verdict {record['verdict']!r}; expected {ACCEPTED!r}, {REJECTED!r} or null")
    if record["key"] != key_of(record.get("image"), record.get("caption_sha256")):
        raise UserError(f"{place}: not the key of its image and caption; expected a file of verdicts of `s4v review`")
