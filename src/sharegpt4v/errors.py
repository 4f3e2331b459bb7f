"""The one exception that users see: a single line that says what is wrong and what to do.

Every verb of ``s4v`` turns a ``UserError`` into that line on standard error and exit code 1. Anything else
is a defect of the program and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right. The message is one line: what, where, what was expected, what to do."""


class MissingFile(UserError):
    """A file that only the user can bring."""


def printable(text: str) -> str:
    """Return `text` with all that is no printable character (line ends, control characters, surrogates) escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


LONGEST_REASON = 200


def one_line(error: BaseException) -> str:
    """Return what an error of a library says as one printable line, or its kind when it says nothing."""
    return printable(" ".join(str(error).split()))[:LONGEST_REASON] or type(error).__name__
