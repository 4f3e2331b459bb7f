"""Showing the curves of a training while it runs: a process beside it copies the record into the tracker.

It is a process of its own since MLflow takes seconds to import, and a slow server must not slow a step.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sharegpt4v.config.tracking import Tracking

SECONDS_BEFORE = 5.0  # a training that is over sooner is shown with all others, at the end of the run
SECONDS_TO_END = 10.0


class Live:
    """Runs `sharegpt4v.tracking.live` for as long as the context lasts; it ends when this process is gone, too."""

    def __init__(
        self, tracking: Tracking | None, stage: str, out: Path, about: Mapping[str, Any], records: Sequence[Path]
    ) -> None:
        """`about` is the provenance of what goes to `out`: a training that is resumed has the same, and so one run.

        With `tracking` None or off nothing is shown.
        """
        self._told: dict[str, Any] = {"stage": stage, "name": str(out), "out": str(out.resolve()), "about": about}
        self._told["records"] = [str(record.resolve()) for record in records]
        self._shows = tracking is not None and tracking.enabled
        if tracking:
            self._told |= {"uri": tracking.uri, "experiment": tracking.experiment}
        self._process: subprocess.Popen[bytes] | None = None
        self._start = time.monotonic()

    def after_row(self) -> None:
        """Start to show, once a row was recorded and the training has lasted a while."""
        if self._process or not self._shows or time.monotonic() - self._start < SECONDS_BEFORE:
            return
        # In a session of its own: Ctrl-C would end it before the last rows. It ends when its input does.
        command = [sys.executable, "-m", "sharegpt4v.tracking.live"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        self._say(json.dumps(self._told))

    def _say(self, line: str) -> None:
        assert self._process and self._process.stdin
        with suppress(OSError):  # it has ended; a view must not fail the training
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._process or not self._process.stdin:
            return
        if kind is None:
            self._say("done")
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
