"""The one exception that users see: a line that says what is wrong and what to do.

Every verb of ``s4v`` turns a ``UserError`` into that line on standard error and exit code 1. Anything else
is a defect of the program and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can fix. The message is one line: what, where, what was expected, what to do.

    Several messages are a line each. Control characters, which may come from a file's name or a reply, are escaped.
    """

    def __str__(self) -> str:
        return "\n".join(printable(str(line)) for line in self.args)


class MissingFile(UserError):
    """A file that only the user can bring."""


def printable(text: str, keep: str = "") -> str:
    """Return `text` with all that is no printable character as Python writes it (`\\x1b`, `\\u202e`).

    These are line ends, control characters, marks of direction, blanks of other kinds and halves of characters. Those
    in `keep` stay.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else one.encode("unicode_escape").decode() for one in text)


LONGEST_REASON = 200


def one_line(error: BaseException) -> str:
    """Return what an error of a library says as one printable line, or its kind when it says nothing."""
    return printable(" ".join(str(error).split()))[:LONGEST_REASON] or type(error).__name__
