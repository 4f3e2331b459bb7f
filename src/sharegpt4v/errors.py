"""The one exception that users see: a single line that says what is wrong and what to do.

Every verb of ``s4v`` turns a ``UserError`` into that line on standard error and exit code 1. Anything else
is a defect of the program and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right. The message is one line: what, where, what was expected, what to do."""


class MissingFile(UserError):
    """A file that only the user can bring."""


LONGEST_REASON = 200


def one_line(error: BaseException) -> str:
    """Return what an error of a library says as one printable line, or its kind when it says nothing."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in str(error)).split())
    return text[:LONGEST_REASON] or type(error).__name__
