"""An append-only record of work that was paid for or slow: teacher's replies, captions, answers.

One JSON line per piece of work, written the moment it exists and keyed by everything it depends on. After a kill the
same key is found again, so nothing is asked twice; a half-written last line is dropped on opening. A ledger has one
writer at a time (`locking`, which says what that means on the file systems of a cluster).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from sharegpt4v.errors import UserError
from sharegpt4v.files import open_to_read, writing
from sharegpt4v.locking import WriterLock

FIRST_BYTES = b'{"key":"'  # of every line that is written here
CONTROL = re.compile(rb"[\x00-\x1f]")  # JSON escapes these
LONGEST_LINE = 256 * 2**20  # bytes; a file that is no ledger may be one line of any length
BLOCK = 16_384  # bytes; hardly a record has more


def key_of(*parts: Any) -> str:
    """Return a short, stable key for what a piece of work depends on (hashes, prompts, settings)."""
    text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:24]


def key_of_files(files: Iterable[Path]) -> str:
    """Return a key of the names, sizes and dates of files, in whatever order they come."""
    return key_of([(path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)])


class Ledger:
    """A dictionary from key to JSON record whose every `append` is on disk when it returns.

    One writer at a time: a second one is a `UserError` that says who the first is. What is at `path` and no ledger is a
    `UserError` too, and stays as it is. Only byte offsets stay in memory, so a ledger may be larger than memory.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = WriterLock(self.path)
        try:
            with writing(self.path):
                _refuse_what_is_no_file(self.path)
                self._file = open(self.path, "a+b", buffering=0)
            self._offsets, self._end, torn = _scan(self.path)
            if torn:
                with writing(self.path):
                    self._mend(torn)
        except BaseException:
            self.close()
            raise

    def _mend(self, torn: bytes) -> None:
        """Complete a last line that only lacks its end, or cut it off."""
        try:
            key = _key_in(torn, f"{self.path}, last line")
        except UserError:
            key = None
        if key is not None:
            self._file.write(b"\n")
            self._offsets[key] = self._end
            self._end += len(torn) + 1
        else:
            self._file.truncate(self._end)

    def append(self, key: str, record: dict[str, Any]) -> None:
        """Put `record` on disk under `key`; a later record under the same key replaces an earlier one."""
        self.extend([(key, record)])

    def extend(self, records: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Put several records on disk under their keys, which takes hardly longer than one.

        When the disk is full, none of them is kept, and a `UserError` says so.
        """
        lines, offsets, end = list[bytes](), dict[str, int](), self._end
        for key, record in records:
            offsets[key] = end
            lines.append(orjson.dumps({"key": key, **record}, option=orjson.OPT_APPEND_NEWLINE))
            end += len(lines[-1])
        with writing(self.path):
            try:
                left = memoryview(b"".join(lines))
                while left:
                    left = left[self._file.write(left) :]
                os.fsync(self._file.fileno())
            except OSError:
                with suppress(OSError):
                    self._file.truncate(self._end)  # else the torn line is cut off on opening
                raise
        self._offsets |= offsets
        self._end = end

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the record stored under `key`, with the key itself; a KeyError when there is none."""
        position = self._offsets[key]
        line = b""
        while not line.endswith(b"\n"):
            # The file's end is beyond the record's, so there is always more to read.
            block = os.pread(self._file.fileno(), BLOCK, position + len(line))
            line += block[: block.index(b"\n") + 1] if b"\n" in block else block
        return orjson.loads(line)  # type: ignore[no-any-return]

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the current record of every key, in the order they were written."""
        return _records(self.path, self._offsets)

    def close(self) -> None:
        """Close the file and let the next writer in; everything appended is on disk already."""
        if (file := getattr(self, "_file", None)) is not None:
            file.close()
        self._lock.release()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_ledger(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the current record of every key of a ledger that somebody may be writing; nothing is changed."""
    _refuse_what_is_no_file(path)
    return _records(path, _scan(path)[0])


def _records(path: Path, offsets: dict[str, int]) -> Iterator[dict[str, Any]]:
    position = 0
    with open_to_read(path, "a ledger") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            record = orjson.loads(line)
            if offsets.get(record["key"]) == position:
                yield record
            position += len(line)


def _scan(path: Path) -> tuple[dict[str, int], int, bytes]:
    """Return where the record of each key begins, where the complete lines end, and a torn last line.

    A kill may leave that, or a power cut a last line of zeros; anything else that is no ledger is a `UserError`.
    """
    offsets: dict[str, int] = {}
    position, number = 0, 0
    with open_to_read(path, "a ledger") as file:
        while line := file.readline(LONGEST_LINE):
            number += 1
            place = f"{path}, line {number}"
            if not line.endswith(b"\n"):
                _refuse_what_was_not_torn(line, number == 1, place)
                return offsets, position, line
            offsets[_key_in(line, place)] = position
            position += len(line)
    return offsets, position, b""


def _key_in(line: bytes, place: str) -> str:
    """Return the key of a line; a `UserError` names its `place` when it is no line of a ledger."""
    if b"\r" in line:
        raise UserError(
            f"{place}: has a carriage return; expected lines as s4v writes them, ended by a line feed alone, so undo "
            "what has converted the file, or move it away"
        )
    try:
        key = orjson.loads(line)["key"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        key = None
    if not isinstance(key, str):
        raise UserError(
            f"{place}: not a ledger line; expected JSON with a 'key'; delete that line and run the same command again, "
            "or move the file away if it is no ledger"
        )
    return key


def _refuse_what_was_not_torn(line: bytes, is_first: bool, place: str) -> None:
    """Raise a `UserError` unless a last line without its end is the beginning of one that was written here."""
    written = line.rstrip(b"\0")
    begins = written.startswith(FIRST_BYTES) or (not is_first and FIRST_BYTES.startswith(written))
    if not begins or len(line) == LONGEST_LINE or CONTROL.search(written):
        raise UserError(
            f"{place}: not a ledger line, and no part of one; nothing is changed; move the file away if it is no ledger"
        )


def _refuse_what_is_no_file(path: Path) -> None:
    """Raise a `UserError` when something else than a regular file is there; a FIFO would wait for ever."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: no regular file; expected a ledger there, or nothing; move it away")
