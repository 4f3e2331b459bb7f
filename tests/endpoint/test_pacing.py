"""The pace of requests: limits per minute, retry-after, waits."""

from __future__ import annotations

import asyncio
import math
import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seed_stage import describe, first_tries_fail, make_images, run_stage, settings_for
from sharegpt4v.endpoint.budget import Forecast, prompt_bound
from sharegpt4v.endpoint.pacing import Pacer, back_off, retry_after
from sharegpt4v.endpoint.request import TextRequest
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault


def test_no_minute_holds_more_requests_than_allowed() -> None:
    now = 0.0

    def clock() -> float:
        return now

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def send(count: int) -> list[float]:
        pacer = Pacer(20, None, clock, sleep)
        sent = []
        for number in range(count):
            await pacer.turn()
            sent.append(clock())
            if number == 30:
                pacer.hold(500)
        return sent

    sent = asyncio.run(send(100))
    assert sent[0] == 0 and sent[31] - sent[30] >= 500
    assert sent[-1] == pytest.approx((99 * 3 - 3) / 0.98 + 500, abs=0.3)  # and hardly slower than allowed
    for start in sent:
        assert sum(start <= moment < start + 59.999 for moment in sent) <= 20


class Timeless:
    """A clock that only moves when somebody sleeps, and a server with limits on requests and tokens in any minute."""

    def __init__(self, requests: float, tokens: float = math.inf) -> None:
        self.now, self.limits = 0.0, (requests, tokens)
        self.passed: list[tuple[float, float]] = []
        self.refused = 0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pacer(self, requests: float | None, tokens: float | None = None) -> Pacer:
        return Pacer(requests, tokens, lambda: self.now, self.sleep)

    def lets_pass(self, tokens: float) -> bool:
        minute = [used for moment, used in self.passed if moment > self.now - 60]
        if len(minute) + 1 > self.limits[0] or sum(minute) + tokens > self.limits[1]:
            self.refused += 1
            return False
        self.passed.append((self.now, tokens))
        return True

    def share(self) -> tuple[float, float]:
        """The used part of the requests and the tokens that were allowed."""
        requests, tokens = len(self.passed), sum(used for _, used in self.passed)
        return requests / self.limits[0] / self.now * 60, tokens / self.limits[1] / self.now * 60


def test_tokens_are_paced_by_an_estimate_that_replies_correct() -> None:
    server, forecast = Timeless(600, 60_000), Forecast()
    pacer, lengths = server.pacer(600, 60_000), random.Random(0)
    bound = prompt_bound(TextRequest("a", "x" * 240), image_tokens=0) + 1000

    async def send() -> None:
        for _ in range(1500):
            expected = forecast.expected(bound)
            await pacer.turn(expected)
            used = 60 + lengths.randrange(100, 300)
            assert server.lets_pass(used)
            forecast.learn(bound, used)
            pacer.correct(used, expected)

    asyncio.run(send())
    assert 0.95 < server.share()[1] <= 1 and server.refused == 0


def test_the_pace_falls_to_what_an_endpoint_of_unknown_limits_bears_and_stays_there() -> None:
    server = Timeless(60)
    pacer = server.pacer(600)

    async def send() -> None:
        while len(server.passed) < 1000:
            sent = await pacer.turn()
            if not server.lets_pass(0):
                pacer.refused(sent)
                pacer.hold(server.passed[-60][0] + 60 - server.now)

    asyncio.run(send())
    assert server.share()[0] > 0.85 and server.refused < 40


def test_the_limits_that_an_endpoint_tells_are_kept_where_they_are_lower(tmp_path: Path) -> None:
    server = Timeless(60)
    pacer = server.pacer(600)
    pacer.told({"x-ratelimit-limit-requests": "60", "x-ratelimit-limit-tokens": "soon"})
    pacer.told({"x-ratelimit-limit-requests": "6000", "x-ratelimit-limit-tokens": "0"})
    asyncio.run(take_turns(pacer, 50))
    assert 48 < server.now < 51

    told = Fault(headers={"x-ratelimit-limit-requests": "600"})
    with serve(describe, lambda number, image, prompt: told) as url:
        start = time.monotonic()
        run_stage(tmp_path, make_images(tmp_path / "data", 7), settings_for(url, concurrency=1))
        assert time.monotonic() - start >= 0.35  # the second one goes at once, and may be late


async def take_turns(pacer: Pacer, count: int) -> None:
    for _ in range(count):
        await pacer.turn()


def test_rate_limit_holds_for_the_real_client_and_counts_retries(tmp_path: Path) -> None:
    import openai  # noqa: F401 -- loading it takes longer than the waits that are measured

    images = make_images(tmp_path / "data", 3)
    with serve(describe, first_tries_fail(Fault(status=500))) as url:
        start = time.monotonic()
        run_stage(tmp_path, images, settings_for(url, requests_per_minute=600))
        assert time.monotonic() - start >= 0.5  # six requests, a tenth of a second apart


def test_waits_double_with_jitter_up_to_a_minute() -> None:
    for failures, longest in ((1, 2.0), (2, 4.0), (3, 8.0), (30, 60.0)):
        waits = {back_off(failures, first=2.0) for _ in range(50)}
        assert len(waits) > 1 and longest / 2 <= min(waits) and max(waits) <= longest


def test_retry_after_is_read_as_seconds_milliseconds_or_date() -> None:
    now = datetime(2023, 11, 7, 12, 0, 0, tzinfo=UTC)
    assert retry_after({"retry-after": "2.5"}, 60) == 2.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "1"}, 60) == 0.25
    assert retry_after({"retry-after": "Tue, 07 Nov 2023 12:01:30 GMT"}, 600, now) == 90
    assert retry_after({"retry-after": "Tue, 07 Nov 2023 12:01:30 GMT"}, 60, now) == 60
    assert retry_after({"retry-after": "Tue, 07 Nov 2023 11:00:00 GMT"}, 60, now) is None
    assert retry_after({"retry-after": "soon"}, 60) is None and retry_after({}, 60) is None
