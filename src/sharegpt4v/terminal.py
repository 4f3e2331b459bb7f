"""What a command prints is text and steers no terminal: file names and replies of others may hold escape sequences.

A standard error that nobody reads any more, or that is on a full disk, stops no work.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any, TextIO

from sharegpt4v.errors import printable

LINES = "\n\t"


def plain_table(lines: Sequence[Sequence[str]], right: Collection[int]) -> str:
    """Return lines of cells as aligned text; the columns numbered in `right` are aligned to the right."""
    from tabulate import tabulate

    sides = ["right" if column in right else "left" for column in range(len(lines[0]))]
    text = tabulate(lines, tablefmt="plain", disable_numparse=True, colalign=sides)
    return "\n".join(line.rstrip() for line in text.splitlines())


class EscapedStream:
    """A text stream that writes what is `printable`, and line ends; all else is the stream's own.

    Unless it is `required`, an error in writing is ignored.
    """

    def __init__(self, stream: TextIO, required: bool) -> None:
        self._stream, self._required = stream, required

    def write(self, text: str) -> int:
        """Write `text`; return how many characters it has."""
        encoding = self._stream.encoding or "utf-8"
        shown = printable(text, LINES).encode(encoding, errors="backslashreplace").decode(encoding)
        try:
            self._stream.write(shown)
        except OSError:
            if self._required:
                raise
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write the lines one by one."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written."""
        try:
            self._stream.flush()
        except OSError:
            if self._required:
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def escape_output() -> None:
    """From now on escape what this process prints, warnings and tracebacks included."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, EscapedStream):
            setattr(sys, name, EscapedStream(stream, required=name == "stdout"))
