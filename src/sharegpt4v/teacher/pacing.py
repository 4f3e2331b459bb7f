"""When the next request may go: requests per minute, the endpoint's own wishes, and waits after failures."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_BACK_OFF = 60.0


class Pacer:
    """Let requests go one after another, evenly spaced at `per_minute` (`None`: at once), and hold all when asked.

    It is a token bucket of size one: a bucket that saves up tokens would send bursts, which endpoints that count
    over seconds answer with 429. `clock` and `sleep` are in seconds.
    """

    def __init__(
        self,
        per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.interval = 60.0 / per_minute if per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._next = clock()
        self._one_at_a_time = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until this caller may send its request."""
        async with self._one_at_a_time:
            # The moment is read anew after each sleep, since a hold may have moved it meanwhile.
            while (wait := self._next - self._clock()) > 0:
                await self._sleep(wait)
            self._next = self._clock() + self.interval

    def hold(self, seconds: float) -> None:
        """Let nobody go for `seconds` from now: the endpoint has asked for it."""
        self._next = max(self._next, self._clock() + seconds)


def back_off(failures: int, first: float) -> float:
    """Return the seconds to wait after the given number of failures: doubling from `first`, with jitter, at most 60."""
    return min(first * 2.0 ** (failures - 1), LONGEST_BACK_OFF) * random.uniform(0.5, 1.0)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds a reply asks to wait: `retry-after-ms`, or `retry-after` as seconds or as an HTTP date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            return max(0.0, float(value) * unit)
        except ValueError:
            pass
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000" in a date means UTC of unknown origin
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
