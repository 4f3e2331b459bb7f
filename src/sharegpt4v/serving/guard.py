"""Run a server in a process group of its own, and end the whole group when whoever asked for it is gone.

    python guard.py LOG COMMAND...

The one that starts this holds a pipe to its standard input. When the pipe closes, also because its holder was killed,
the group gets SIGTERM and, if that does not help, SIGKILL: servers leave workers behind when only their first process
is killed. When the command ends by itself, so does this, with its exit status. This file needs Python alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

SECONDS_TO_STOP = 20


def main(log: str, command: list[str]) -> int:
    """Run the command until it ends, or until standard input closes; return its exit status."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # they are for the one that holds the pipe
    with open(log, "ab") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
            preexec_fn=_hear_signals,
        )  # fmt: skip
    threading.Thread(target=_end_with_pipe, args=(process,), daemon=True).start()
    status = process.wait()
    _signal_group(process.pid, signal.SIGKILL)  # what it left behind
    return status if status >= 0 else 128 - status


def _hear_signals() -> None:
    """Undo what was ignored here: a child inherits it."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)


def _end_with_pipe(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1):  # not by sys.stdin, whose lock a thread would hold when Python ends
        pass
    _signal_group(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS_TO_STOP)
    _signal_group(process.pid, signal.SIGKILL)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
