"""When a command ends: when a signal asks it to, and when the run or the process that started it is gone.

SIGTERM (Slurm, Snakemake), SIGUSR1 (Slurm's `--signal=USR1@300`: 300 seconds before the time limit) and SIGHUP (a
terminal that was closed) end a command as Ctrl-C does: files are closed, a training saves its state. Snakemake killed
by SIGKILL tells its jobs nothing, so each of them looks for it: the environment names the process without which a
command has nobody to work for.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

VARIABLE = "S4V_ENDS_WITH"
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_REQUESTS = 5.0  # to end
SECONDS_TO_SAVE = 300.0  # for a command that was asked to end, before it is killed


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end. `message` says how far it came, where that is known."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number, self.message = number, message


def end_on_signals(handler: Callable[[int, FrameType | None], None] | None = None) -> None:
    """Call `handler` (default: raise `Stopped`) when a signal asks this process to end.

    Signals often come in pairs: those that follow within `SECONDS_BETWEEN_REQUESTS` do not disturb the ending. Later
    ones count again, for code of others may have swallowed the first exception. SIGHUP stays ignored where it is, as
    under nohup.
    """
    last = [-SECONDS_BETWEEN_REQUESTS]

    def asked(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - last[0] < SECONDS_BETWEEN_REQUESTS:
            return
        last[0] = now
        if handler is None:
            raise Stopped(number)
        handler(number, frame)

    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, asked)


def end_others_with_this() -> None:
    """Tell all processes that this one starts, by the environment, to end when it is gone."""
    if here := _here():
        os.environ[VARIABLE] = f"{here} {os.getpid()} {start_of(os.getpid())}"


def end_with_starter() -> None:
    """End this command in an orderly way when the process that the environment names is gone, and kill it if it must.

    Processes on other machines, as those that srun starts on other nodes, do not look.
    """
    if starter := starter_in(os.environ.get(VARIABLE, "")):

        def end() -> None:
            deadline = time.monotonic() + SECONDS_TO_SAVE
            while time.monotonic() < deadline:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
                time.sleep(SECONDS_BETWEEN_REQUESTS + 0.1)
            os.kill(os.getpid(), signal.SIGKILL)

        _when_gone(*starter, end)


def end_with_parent() -> None:
    """End this process at once when the one that started it is gone, as after SIGKILL."""
    parent = os.getppid()
    _when_gone(parent, start_of(parent), lambda: os.kill(os.getpid(), signal.SIGKILL))


def serve_parent() -> None:
    """Make this process, a worker of a pool, end with its parent and not by signals that are for all beside it."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()


def _when_gone(process: int, start: str | None, then: Callable[[], None]) -> None:
    def look() -> None:
        while start_of(process) == start:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        then()

    if start is not None:
        threading.Thread(target=look, daemon=True).start()


def _here() -> str | None:
    """Return what tells this machine, since it was started, and its space of process numbers from others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return None


def starter_in(text: str) -> tuple[int, str] | None:
    """Return number and start of the process that the variable names; None when it is not of this machine."""
    here, _, start = text.rpartition(" ")
    here, _, process = here.rpartition(" ")
    return (int(process), start) if here and here == _here() else None


def start_of(process: int) -> str | None:
    """Return when a process was started, in ticks since the machine was; None when it is gone or only not buried."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else fields[18]
