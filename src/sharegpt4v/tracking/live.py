"""The process that shows a training while it runs, ``python -m sharegpt4v.tracking.live``; `training.live` starts it.

A line of JSON on its input says what to show where. It copies new rows every few seconds until its input ends: after a
line ``done`` when the training is done, without one when it was stopped or killed. The record stays the truth: what is
missing is added when the job is shown as a whole.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharegpt4v.ledger import key_of
from sharegpt4v.tracking.tracker import Run, Status, tracker_of, warn

SECONDS_BETWEEN_LOOKS = 3.0
SECONDS_AFTER_ERROR = 60.0
SECONDS_TO_END = 60  # with a server that does not answer


def live_key(out: Path | str, about: Mapping[str, Any]) -> str:
    """Return what tells a training from others while it runs: where its checkpoint goes, and its provenance.

    What is known of the rows only at the end is no part of it.
    """
    return key_of(str(Path(out).resolve()), {name: value for name, value in about.items() if name != "rows"})


def main() -> None:
    """Show what the first line of the input names until the input ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(10)  # the training first
    with open(0, "rb", buffering=0, closefd=False) as told:
        about = json.loads(told.readline())
        run = Run(
            name=about["name"],
            stage=about["stage"],
            records=[Path(record) for record in about["records"]],
            live=live_key(about["out"], about["about"]),
        )
        last: int | None = None
        wait, ended, warned = 0.0, False, False
        while not ended:
            ended = bool(select.select([told], [], [], wait)[0])
            status: Status = "RUNNING"
            if ended:
                signal.alarm(SECONDS_TO_END)
                status = "FINISHED" if told.read().strip() == b"done" else "KILLED"
            wait = SECONDS_BETWEEN_LOOKS
            try:
                with tracker_of(about["uri"])(about["uri"], about["experiment"]) as tracker:
                    last = tracker.follow(run, status, last)
            except Exception as error:  # whatever it is: a view must not fail the training
                wait = SECONDS_AFTER_ERROR
                if not warned:
                    warn(f"while it runs: {type(error).__name__}: {error}", about["uri"])
                    warned = True


if __name__ == "__main__":
    main()
