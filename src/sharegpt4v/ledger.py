"""An append-only record of work that was paid for or slow: teacher's replies, captions, answers.

One JSON line per piece of work, written the moment it exists and keyed by everything it depends on. After a
kill the same key is found again, so nothing is asked twice; a half-written last line is dropped on opening.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from sharegpt4v.errors import UserError


def key_of(*parts: Any) -> str:
    """Return a short, stable key for what a piece of work depends on (hashes, prompts, settings)."""
    text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:24]


class Ledger:
    """A dictionary from key to JSON record whose every `append` is on disk when it returns.

    One writer at a time. Only byte offsets stay in memory, so a ledger may be larger than memory.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")
        self._offsets = self._scan()

    def _scan(self) -> dict[str, int]:
        """Index the complete lines and cut off a torn last one, which a kill may have left."""
        offsets: dict[str, int] = {}
        self._file.seek(0)
        position = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                self._file.truncate(position)
                break
            try:
                offsets[orjson.loads(line)["key"]] = position
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise UserError(
                    f"{self.path}, line {number}: not a ledger line; "
                    "expected JSON with a 'key'; delete that line and run the same command again"
                ) from None
            position += len(line)
        return offsets

    def append(self, key: str, record: dict[str, Any]) -> None:
        """Put `record` on disk under `key`; a later record under the same key replaces an earlier one."""
        self.extend([(key, record)])

    def extend(self, records: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Put several records on disk under their keys, which takes hardly longer than one."""
        self._file.seek(0, os.SEEK_END)
        position = self._file.tell()
        offsets: dict[str, int] = {}
        for key, record in records:
            offsets[key] = position
            position += self._file.write(orjson.dumps({"key": key, **record}, option=orjson.OPT_APPEND_NEWLINE))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._offsets |= offsets

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the record stored under `key`, with the key itself; a KeyError when there is none."""
        self._file.seek(self._offsets[key])
        return orjson.loads(self._file.readline())  # type: ignore[no-any-return]

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the current record of every key, in the order they were written."""
        position = 0
        with open(self.path, "rb") as file:
            for line in file:
                record = orjson.loads(line)
                if self._offsets.get(record["key"]) == position:
                    yield record
                position += len(line)

    def close(self) -> None:
        """Close the file; everything appended is on disk already."""
        self._file.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
