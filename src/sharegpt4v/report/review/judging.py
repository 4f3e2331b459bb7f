"""Verdicts as a person gives them: each is in a ledger when it is there at all, and the last ones can be taken back."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sharegpt4v.corpora.caption_files import ERROR, Row
from sharegpt4v.corpora.verdicts import Verdicts, record_of, verdict_key
from sharegpt4v.ledger import Ledger
from sharegpt4v.report.review.index import Index, number_of_key
from sharegpt4v.report.review.query import NONE, VERDICTS

REASONS = {
    "1": "shows what is not there",
    "2": "wrong detail",
    "3": "misses what matters",
    "4": "text misread",
    "5": "badly written",
    "6": "private or harmful",
    "0": "other",
}
"""Why a person rejects a caption, by the key that says so."""


class Reviewed:
    """The verdicts in a file about the rows of an index; one writer at a time, a second one is a `UserError`.

    `marks` has a number of `query.VERDICTS` for each row. Rows that have image and caption in common share a verdict.
    """

    def __init__(self, index: Index, path: Path) -> None:
        self._index, self._past = index, list[tuple[int, str, dict[str, Any] | None]]()
        self.marks = np.zeros(len(index), np.int8)
        if path.exists():
            Verdicts(path)  # refuses a ledger of something else
        self._ledger = Ledger(path)
        said = {number_of_key(one["key"]): VERDICTS.get(one["verdict"], NONE) for one in self._ledger.records()}
        if said:
            for number in np.flatnonzero(np.isin(index.facets["key"], np.array(list(said), np.uint64))):
                self.marks[number] = said[int(index.facets["key"][number])]

    def of(self, row: Row) -> tuple[str | None, str | None]:
        """Return the verdict about a row and its reason, None where there is none."""
        key = verdict_key(row.image, row.caption)
        record = self._record(key) or {}
        return record.get("verdict"), record.get("reason")

    def judge(self, number: int, row: Row, verdict: str, reason: str | None) -> None:
        """Keep a verdict, "accepted" or "rejected", about the row of this number; it is on disk on return."""
        key = verdict_key(row.image, row.caption)
        before = self._record(key)
        self._keep(key, record_of(row.image, row.caption, verdict, reason))
        self._past.append((number, key, before))

    def undo(self) -> int | None:
        """Take the last verdict of this session back; return the number of its row, None when there is none left."""
        if not self._past:
            return None
        number, key, before = self._past[-1]
        if before is None:
            row = self._index.row(number)
            assert row is not None
            before = record_of(row.image, row.caption, None, None)
        self._keep(key, before)
        self._past.pop()
        return number

    def _record(self, key: str) -> dict[str, Any] | None:
        return self._ledger[key] if key in self._ledger else None  # noqa: SIM401

    def _keep(self, key: str, record: dict[str, Any]) -> None:
        self._ledger.append(key, {name: value for name, value in record.items() if name != "key"})
        self.marks[self._index.facets["key"] == number_of_key(key)] = VERDICTS.get(record["verdict"], NONE)

    def close(self) -> None:
        """Let the next writer in; everything is on disk already."""
        self._ledger.close()

    def __enter__(self) -> Reviewed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def can_be_judged(row: Row) -> bool:
    """Whether a row has a caption: an error and a blank text have no verdict."""
    return row.reason != ERROR and bool(row.caption.strip())
