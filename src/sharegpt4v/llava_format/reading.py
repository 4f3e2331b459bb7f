"""Reading a JSON array of rows as a stream, as the published corpora are (paper section 1: up to 1.5 GB in one array).

Memory stays flat, and a row is had as its bytes too, so that whoever passes it on need not write it anew. Where a row
ends is guessed by the first key of the next one, and is certain once the parser has taken the bytes up to there as one
object; where it does not, the end is found by the brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

import orjson

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl
from sharegpt4v.llava_format.checks import check_shard_row

CHUNK = 1 << 20
LONGEST_ROW = 16 << 20
LONGEST_CHARACTER = 4  # bytes, in UTF-8
BLANKS = re.compile(rb"\s*")
FIRST_KEY = re.compile(rb'\{\s*("[^"\\]+")')
TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}"]', re.DOTALL)
"""Strings and brackets; a quotation mark by itself opens a string that does not end here. It never goes back on a
match, which would take minutes for a string of millions of backslashes."""

Located = tuple[int, bytes, Any]
"""The byte of the file at which a row begins, the bytes of the row, and the row itself."""


def read_array(path: Path) -> Iterator[Any]:
    """Yield the rows of a JSON array one by one; see `read_located`."""
    return (row for _, _, row in read_located(path))


def read_shard(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a shard of captions, checked; a `UserError` names the line of one that is malformed."""
    for number, row in enumerate(read_jsonl(path), start=1):
        yield check_shard_row(row, f"{path}, line {number}")


def read_located(path: Path) -> Iterator[Located]:
    """Yield the rows, which are JSON objects, of the array in a file, in order.

    A file that is missing, broken or cut off is a `UserError` that names row and byte, when the reading comes there.
    """
    try:
        with open(path, "rb") as file:
            yield from _Window(path, file).rows()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); expected a JSON array of rows there") from None


class _Window:
    """A part of the file in memory, and how far it has been read."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.buffer, self.offset = b"", 0  # the byte of the file at which the buffer begins
        self.position = 0  # in the buffer
        self.count = 0

    def rows(self) -> Iterator[Located]:
        """Yield every row; between rows the position is at the beginning of the next."""
        if self._next() != b"[":
            self._fail("no JSON array; expected one of rows, [{...}, ...]")
        self.position += 1
        if self._next() != b"]":
            yield from self._items()
        self.position += 1
        if self._next():
            self._fail("more after the end of the array; expected nothing")

    def _items(self) -> Iterator[Located]:
        """Yield rows until the next byte is the end of the array."""
        boundary = None
        while True:
            start, content, row = self._row_by_brackets()
            yield start, content, row
            if boundary is None and (key := FIRST_KEY.match(content)):
                boundary = re.compile(rb"\}(\s*,\s*)\{\s*" + re.escape(key[1]))
            if (found := self._next()) == b"]":
                return
            if found != b",":
                what = "no ',' or ']'" if found else "the file is cut off"
                self._fail(f"{what} after row {self.count:,}; expected ',' or ']', so fetch or make the file again")
            self.position += 1
            self._next()
            if boundary:
                yield from self._rows_by_boundary(boundary)

    def _rows_by_boundary(self, boundary: re.Pattern[bytes]) -> Iterator[Located]:
        """Yield the rows whose ends are guessed right in the buffer, up to one for which the guess is wrong."""
        buffer = self.buffer
        for match in boundary.finditer(buffer, self.position):
            start, content = self.position, buffer[self.position : match.start() + 1]
            try:
                row = orjson.loads(content)
            except orjson.JSONDecodeError:
                return
            self.position = match.end(1)
            self.count += 1
            yield self.offset + start, content, row

    def _row_by_brackets(self) -> Located:
        if self._next() != b"{":
            self._fail(f"row {self.count + 1:,} is no object; expected {{...}} with keys such as 'conversations'")
        while (end := _end_of_object(self.buffer, self.position)) is None:
            if len(self.buffer) - self.position > LONGEST_ROW or not self._grow():
                self._fail_within(self.buffer[self.position :], complete=False)
        start, content = self.position, self.buffer[self.position : end]
        try:
            row = orjson.loads(content)
        except orjson.JSONDecodeError:
            self._fail_within(content, complete=True)
        self.position = end
        self.count += 1
        return self.offset + start, content, row

    def _next(self) -> bytes:
        """Go to the next byte that is no blank and return it; nothing at the end of the file."""
        while True:
            self.position = BLANKS.match(self.buffer, self.position).end()  # type: ignore[union-attr]
            if self.position < len(self.buffer) or not self._grow():
                return self.buffer[self.position : self.position + 1]

    def _grow(self) -> bool:
        """Read on, and let go of what lies before the position; False at the end of the file.

        A row that is longer than the buffer is looked through anew each time, so the buffer doubles.
        """
        more = self.file.read(max(CHUNK, len(self.buffer) - self.position))
        self.buffer = self.buffer[self.position :] + more
        self.offset += self.position
        self.position = 0
        return bool(more)

    def _fail(self, what: str) -> NoReturn:
        raise UserError(f"{self.path}, byte {self.offset + self.position:,}: {what}")

    def _fail_within(self, content: bytes, complete: bool) -> NoReturn:
        """Tell where the object that begins with `content` breaks, and how much of the file was read before."""
        place, why = _break_in(content)
        if not complete and place > len(content) - LONGEST_CHARACTER:
            why = "the file is cut off" if len(content) <= LONGEST_ROW else f"no end within {LONGEST_ROW:,} bytes"
        self.position += place
        self._fail(
            f"row {self.count + 1:,} breaks here ({why}); {self.count:,} rows before it are whole; "
            "expected JSON, so fetch or make the file again"
        )


def _end_of_object(buffer: bytes, start: int) -> int | None:
    """Return where the object that begins at `start` ends; None when that is not in the buffer."""
    depth = 0
    for token in TOKENS.finditer(buffer, start):
        if token.end() - token.start() > 1:
            continue
        mark = buffer[token.start()]
        if mark == ord('"'):
            return None
        depth += 1 if mark in b"[{" else -1
        if depth == 0:
            return token.end()
    return None


def _break_in(content: bytes) -> tuple[int, str]:
    """Return the byte from which on an object cannot be parsed, and why."""
    try:
        orjson.loads(content.decode())
    except UnicodeDecodeError as error:
        return error.start, "not UTF-8"
    except orjson.JSONDecodeError as error:
        return len(error.doc[: error.pos].encode()), error.msg
    return len(content), "no end"
