"""Showing a job in the tracker while it runs: a process beside it that opens a run, and copies the job's records.

It is a process of its own since MLflow takes seconds to import, and a slow server must not slow the job.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sharegpt4v.config import Config
from sharegpt4v.config.tracking import Tracking
from sharegpt4v.ledger import key_of

# What is over sooner is shown with all else, at the end of the run: MLflow costs seconds of a processor.
SECONDS_BEFORE_TRAINING = 5.0
SECONDS_BEFORE_JOB = 30.0
SECONDS_TO_END = 10.0


def training_key(out: Path | str, about: Mapping[str, Any]) -> str:
    """Return what tells a training from others while it runs: where its checkpoint goes, and its provenance.

    What is known of the rows only at the end is no part of it.
    """
    return key_of(str(Path(out).resolve()), {name: value for name, value in about.items() if name != "rows"})


def job_key(root: Path, name: str, config: Config) -> str:
    """Return what tells another job from others while it runs: its folder, its name and the config."""
    return key_of(str(root.resolve()), name, config.model_dump(mode="json", exclude={"tracking"}))


class Follower:
    """Runs `sharegpt4v.tracking.live` for as long as the context lasts; it ends when this process is gone, too."""

    def __init__(
        self, tracking: Tracking | None, name: str, stage: str, live: str, records: Sequence[Path] = ()
    ) -> None:
        """`live` is one of the keys above: a job that is resumed has the same, and so one run.

        `records` are JSON-lines files that grow. With `tracking` None or off nothing is shown.
        """
        self._told: dict[str, Any] = {"name": name, "stage": stage, "live": live}
        self._told |= {"records": [str(record.resolve()) for record in records], "started": time.time()}
        if tracking:
            self._told |= {"uri": tracking.store(), "experiment": tracking.experiment_name()}
        self._shows = tracking is not None and tracking.enabled
        self._process: subprocess.Popen[bytes] | None = None
        wait = SECONDS_BEFORE_TRAINING if records else SECONDS_BEFORE_JOB
        self._timer = threading.Timer(wait, self._start)
        self._timer.daemon = True

    def _start(self) -> None:
        # In a session of its own: Ctrl-C would end it before the last rows. It ends when its input does.
        command = [sys.executable, "-m", "sharegpt4v.tracking.live"]
        with suppress(OSError):  # no memory for another process; a view must not fail the job
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
            self._say(json.dumps(self._told))

    def _say(self, line: str) -> None:
        assert self._process and self._process.stdin
        with suppress(OSError):  # it has ended; a view must not fail the job
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def __enter__(self) -> Self:
        if self._shows:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._shows:
            self._timer.join()
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
