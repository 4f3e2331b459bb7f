"""The process that shows a job while it runs, ``python -m sharegpt4v.tracking.live``; `follower` starts it.

A line of JSON on its input says what to show where. It copies new rows every few seconds until its input ends: after a
line ``done`` when the job is done, without one when it was stopped or killed. The record stays the truth: what is
missing is added when the job is shown as a whole.
"""

from __future__ import annotations

import json
import os
import select
import signal
from dataclasses import replace
from pathlib import Path

from sharegpt4v.tracking.tracker import Run, Status, tracker_of, warn

SECONDS_BETWEEN_LOOKS = 3.0
SECONDS_AFTER_ERROR = 60.0
SECONDS_TO_END = 60  # with a server that does not answer


def main() -> None:
    """Show what the first line of the input names until the input ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(10)  # the job first
    with open(0, "rb", buffering=0, closefd=False) as told:
        about = json.loads(told.readline())
        run = Run(
            name=about["name"],
            stage=about["stage"],
            time=(about["started"], about["started"]),  # it has no end yet
            live=about["live"],
        )
        records, last = [Path(record) for record in about["records"]], None
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
                    there = records if all(record.exists() for record in records) else []
                    last = tracker.follow(replace(run, records=there), status, last)
            except Exception as error:  # whatever it is: a view must not fail the job
                wait = SECONDS_AFTER_ERROR
                if not warned:
                    warn(f"while it runs: {type(error).__name__}: {error}", about["uri"])
                    warned = True


if __name__ == "__main__":
    main()
