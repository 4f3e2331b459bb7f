"""A progress line for anything long: how much is done, at what rate, and how much time is left.

Lines go to standard error, at most one every few seconds, so that they read well both in a terminal and in
the log of a job.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress


class Progress:
    """Count units of work and print `what 120/600 images, 45.1 images/s, 11 s left` now and then."""

    def __init__(self, what: str, total: int, unit: str, done: int = 0, every: float = 2.0) -> None:
        """`done` units were there before this run (resumed work); they do not count towards the rate."""
        self.what, self.total, self.unit, self.every = what, total, unit, every
        self.done = self.start_done = done
        self.start = self.last = time.monotonic()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Add finished units; print when the last line is older than `every` seconds or all is done."""
        self.done += units
        now = time.monotonic()
        if now - self.last >= self.every or self.done >= self.total:
            self.last = now
            with suppress(OSError):  # a full disk below a log must not end the work
                print(self.line(now, note), file=sys.stderr, flush=True)

    def rate(self) -> float:
        """Units per second since this run began."""
        return (self.done - self.start_done) / max(time.monotonic() - self.start, 1e-9)

    def line(self, now: float, note: str = "") -> str:
        """The text of one progress line."""
        rate = (self.done - self.start_done) / max(now - self.start, 1e-9)
        left = (self.total - self.done) / rate if rate > 0 else 0.0
        text = f"{self.what} {self.done:,}/{self.total:,} {self.unit}, {rate:,.1f} {self.unit}/s, {duration(left)} left"
        return f"{text}, {note}" if note else text


def duration(seconds: float) -> str:
    """Say a number of seconds as people do: `8 s`, `3 min 20 s`, `5 h 02 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
