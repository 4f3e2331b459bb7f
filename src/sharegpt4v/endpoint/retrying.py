"""Calls that may be retried: an endpoint that is busy or away for a while is asked until it answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sharegpt4v.endpoint.failure import GOOD, RequestFailed
from sharegpt4v.endpoint.pacing import back_off
from sharegpt4v.endpoint.run import Run, Stopped

Result = TypeVar("Result")
LONGEST_OUTAGE_S = 6 * 3600


async def retry(run: Run, call: Callable[[], Awaitable[Result]], for_hours: bool = False) -> Result:
    """Return what a call gives. When it fails as often as the settings allow, the run stops (`Stopped`).

    A run that has to wait for the endpoint anyway retries `for_hours` one that is away.
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
        waits = for_hours and failure.status != GOOD and time.monotonic() - began < LONGEST_OUTAGE_S
        if failures >= run.settings.endpoint.attempts and not waits:
            run.stop(f"{failure.reason} ({failures} attempts)")
            raise Stopped
        await run.pause(max(back_off(failures, run.settings.back_off_seconds), failure.wait or 0))
