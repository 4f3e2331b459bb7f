"""Calls that may be retried: an endpoint that is busy or away for a while is asked until it answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sharegpt4v.endpoint.failure import GOOD, RequestFailed
from sharegpt4v.endpoint.pacing import back_off
from sharegpt4v.endpoint.run import Run, Stopped

Result = TypeVar("Result")
PATIENCE = 6 * 3600  # seconds


async def retry(run: Run, call: Callable[[], Awaitable[Result]], patient: bool = False) -> Result:
    """Return what a call gives. When it fails as often as the settings allow, the run stops (`Stopped`).

    A run that has to wait for the endpoint anyway is `patient`: it goes on asking one that is away, for hours.
    """
    failures, began = 0, time.monotonic()
    while True:
        try:
            return await call()
        except RequestFailed as error:
            failure = error.failure
        if (why := failure.stops_all(run.settings.endpoint.model)) or not failure.is_transient:
            run.stop(why or failure.reason)
            raise Stopped
        failures += 1
        waits = patient and failure.status != GOOD and time.monotonic() - began < PATIENCE
        if failures >= run.settings.endpoint.attempts and not waits:
            run.stop(f"{failure.reason} ({failures} attempts)")
            raise Stopped
        await run.pause(max(back_off(failures, run.settings.back_off_seconds), failure.wait or 0))
