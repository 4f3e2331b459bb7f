"""How far a running job is: the last line of progress in its log, as `progress.Progress` and trainings print it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.errors import printable

TAIL = 8192  # bytes of a log that are read; a line of progress comes every few seconds
LINE = re.compile(r"^.*? (?P<text>(?P<done>[\d,]+)/(?P<total>[\d,]+)\b.*?, (?P<left>(?:\d+ (?:h|min|s) ?)+) left.*)$")
SECONDS = {"h": 3600, "min": 60, "s": 1}


@dataclass(frozen=True)
class JobProgress:
    """`text` is what the job says of itself, `share` what is done of its current part, `seconds_left` by its rate."""

    text: str
    share: float
    seconds_left: float


def tail(log: Path) -> list[str]:
    """Return the last lines of a log as a terminal would show them; none where there is no log."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    return [printable(line) for line in lines if line]


def progress_in(lines: list[str]) -> JobProgress | None:
    """Return what the last line of progress says; None where there is none yet."""
    for line in reversed(lines):
        if found := LINE.match(line):
            done, total = (int(found[name].replace(",", "")) for name in ("done", "total"))
            left = sum(int(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+) (h|min|s)", found["left"]))
            return JobProgress(found["text"], done / total if total else 1.0, left)
    return None
