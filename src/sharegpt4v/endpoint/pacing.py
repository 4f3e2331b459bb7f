"""When the next request may go: requests and tokens per minute, the endpoint's own wishes, and waits after failures.

Where the endpoint tells its limits (the headers x-ratelimit-limit-*), the lower of both holds. Where it does not, but
refuses requests as too many, the pace falls, and rises again slowly for as long as nothing is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_BACK_OFF = 60.0  # seconds
LONGEST_WAIT = 600.0  # seconds that an endpoint may ask for, unless the settings say otherwise
LOWEST_LIMIT = 1.0  # per minute; a lower one is not believed
SHARE = 0.98  # of a limit is used: the endpoint's minutes are not ours, and requests overtake each other on the way
CATCH_UP = 0.25  # seconds of being late that are made good; more would be bursts, which endpoints refuse
LOWER, MUCH_LOWER = 0.9, 0.5  # a refusal takes a tenth off the pace; another one within a minute, half
RISE = 1.0015  # per second without refusal, so that an unknown limit is met about once a minute


class Meter:
    """A pace in units (requests, tokens) per minute, None without a limit; `free` is when the next unit may go.

    Nothing is made to wait longer than `longest_wait` seconds for what went before it, however low a limit may be.
    """

    def __init__(self, per_minute: float | None, now: float, longest_wait: float) -> None:
        self.per_minute, self.free, self.longest_wait = per_minute, now, longest_wait

    def take(self, units: float, now: float) -> None:
        """Let units go now, or give some back if they are negative."""
        if self.per_minute:
            seconds = min(units * 60 / self.per_minute, self.longest_wait)
            self.free = (max(self.free, now - CATCH_UP) if units > 0 else self.free) + seconds


class Pacer:
    """Let requests go one after another, evenly spaced at the given paces (None: at once), and hold all when asked.

    Each meter is a token bucket of size one: a bucket that saves up tokens would send bursts, which endpoints that
    count over seconds answer with 429. `clock` and `sleep` are in seconds.
    """

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        now = clock()
        self._requests = Meter(SHARE * requests_per_minute if requests_per_minute else None, now, longest_wait)
        self._tokens = Meter(SHARE * tokens_per_minute if tokens_per_minute else None, now, longest_wait)
        self._learned = Meter(None, now, longest_wait)  # of requests, from refusals alone
        self._held = self._began = self._rising = now
        self._minute: deque[float] = deque()  # when the requests of the last minute were sent that were not refused
        self._refused: float | None = None
        self._refused_pace = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def turn(self, tokens: float = 0) -> float:
        """Wait until this caller may send its request of so many tokens; return the moment."""
        async with self._one_at_a_time:
            # The moment is read anew after each sleep, since a hold may have moved it meanwhile.
            while (wait := self._free() - self._clock()) > 0:
                await self._sleep(wait)
            now = self._clock()
            self._rise(now)
            for meter, units in ((self._requests, 1), (self._tokens, tokens), (self._learned, 1)):
                meter.take(units, now)
            self._minute.append(now)
            while self._minute[0] < now - 60:
                self._minute.popleft()
            return now

    def correct(self, tokens: float, expected: float) -> None:
        """Count the `tokens` that a request really took in place of those expected."""
        self._tokens.take(tokens - expected, self._clock())

    def hold(self, seconds: float) -> None:
        """Let nobody go for `seconds` from now: the endpoint has asked for it."""
        self._held = max(self._held, self._clock() + seconds)

    def told(self, headers: Mapping[str, str]) -> None:
        """Keep to the limits that a reply tells of, where they are lower than those known and can be meant."""
        for meter, what in ((self._requests, "requests"), (self._tokens, "tokens")):
            told = _number(headers.get(f"x-ratelimit-limit-{what}", ""))
            if told is None or told < LOWEST_LIMIT:
                continue
            limit = SHARE * told
            if meter.per_minute is None or limit < meter.per_minute:
                meter.per_minute = limit

    def refused(self, sent: float) -> None:
        """Slow down: a request sent at that moment was one too many; once for all those sent at the same pace."""
        now = self._clock()
        with contextlib.suppress(ValueError):
            self._minute.remove(sent)
        if self._refused is not None and sent <= self._refused:
            return
        accepted = len(self._minute)
        pace = self._learned.per_minute or accepted * 60 / min(60, max(now - self._began, 0.001))
        # The time that everybody was held for says nothing about the pace.
        soon = self._refused is not None and now - max(self._refused, self._held) < 60
        # What went well in the last minute is allowed in a minute, however often more was refused.
        self._learned.per_minute = max(pace * (MUCH_LOWER if soon else LOWER), accepted * LOWER, 1)
        self._refused_pace, self._refused, self._rising = pace, now, now

    def _free(self) -> float:
        return max(self._held, self._requests.free, self._tokens.free, self._learned.free)

    def _rise(self, now: float) -> None:
        """Quicken the learned pace; forget it at twice the pace that was once refused."""
        if self._learned.per_minute:
            self._learned.per_minute *= RISE ** min(now - self._rising, 3600)
            self._rising = now
            if self._learned.per_minute > 2 * self._refused_pace:
                self._learned.per_minute = None


def back_off(failures: int, first: float) -> float:
    """Return the seconds to wait after the given number of failures: doubling from `first`, with jitter, at most 60."""
    return min(first * 2.0 ** (failures - 1), LONGEST_BACK_OFF) * random.uniform(0.5, 1.0)


def retry_after(headers: Mapping[str, str], longest: float, now: datetime | None = None) -> float | None:
    """Return the seconds a reply asks to wait, at most `longest`; None when it does not ask, or for no time at all.

    It asks by `retry-after-ms`, or by `retry-after` as seconds or as an HTTP date.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(headers.get(name, ""), unit)
        if seconds is not None:
            return min(seconds, longest) if seconds > 0 else None
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
        if moment.tzinfo is None:  # "-0000" in a date means UTC of unknown origin
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):  # the parser of dates raises any of them
        return None
    return min(seconds, longest) if seconds > 0 else None


def _number(text: str, unit: float = 1.0) -> float | None:
    """Return a number of a header in units; None where there is none, also for "nan"."""
    try:
        number = float(text) * unit
    except ValueError:
        return None
    return None if math.isnan(number) else number
