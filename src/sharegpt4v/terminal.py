"""What reaches a terminal is text and steers nothing: names and replies of others may hold escape sequences.

`escape_output` does it for all that a command prints, `printable` for a single line, in which a line end is no text
either.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO

LINES = "\n\t"


def printable(text: str, keep: str = "") -> str:
    """Return `text` with all that is no visible sign or blank written as Python writes it (`\\x1b`, `\\u202e`).

    These are control characters, marks of direction, blanks of other kinds and halves of characters. Those in `keep`
    stay.
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in keep else sign.encode("unicode_escape").decode() for sign in text
    )


class EscapedStream:
    """A text stream that writes `printable` text with line ends; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text`; return how many characters it has."""
        encoding = self._stream.encoding or "utf-8"
        escaped = printable(text, LINES)
        self._stream.write(escaped.encode(encoding, errors="backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write the lines one by one."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def escape_output() -> None:
    """From now on escape what this process prints, warnings and tracebacks included."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, EscapedStream):
            setattr(sys, name, EscapedStream(stream))
