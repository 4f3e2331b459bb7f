"""Calls that may be made again: an endpoint that is busy or away for a while is asked until it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sharegpt4v.teacher.direct import failure_of
from sharegpt4v.teacher.pacing import back_off, retry_after
from sharegpt4v.teacher.run import Run, Stopped

Answer = TypeVar("Answer")


async def insist(run: Run, call: Callable[[], Awaitable[Answer]], patient: bool = False) -> Answer:
    """Return the answer to a call. Without one after as many attempts as the settings say, the run stops (`Stopped`).

    A run that has to wait for the endpoint anyway is `patient`: it goes on asking one that is away, for hours.
    """
    import openai

    failures = 0
    while True:
        wait = None
        try:
            return await call()
        except openai.APIStatusError as error:
            failure = failure_of(error, run.connection)
            reason, wait = failure.reason, retry_after(error.response.headers)
            if (why := failure.stops_all(run.settings.model)) or not failure.passes:
                run.stop(why or reason)
                raise Stopped from None
        except openai.APIError as error:
            reason = run.connection.one_line(str(error))
        failures += 1
        if failures >= run.settings.attempts and not patient:
            run.stop(f"{reason} ({failures} attempts)")
            raise Stopped
        await run.pause(wait or back_off(failures, run.settings.back_off_seconds))
