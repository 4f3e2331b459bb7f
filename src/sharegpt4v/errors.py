"""The one exception that users see: a line that says what is wrong and what to do.

Every verb of ``s4v`` turns a ``UserError`` into that line on standard error and exit code 1. Anything else
is a defect of the program and keeps its traceback.
"""

from __future__ import annotations

from sharegpt4v.terminal import printable


class UserError(Exception):
    """Something the user can fix. The message is one line: what, where, what was expected, what to do.

    Several messages are a line each. Control characters, which may come from a file's name or a reply, are escaped.
    """

    def __str__(self) -> str:
        return "\n".join(printable(str(line)) for line in self.args)


class MissingFile(UserError):
    """A file that only the user can bring."""
