"""Asking an endpoint one question per request, many at a time, at the pace that it allows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from sharegpt4v.endpoint.account import Reservation
from sharegpt4v.endpoint.budget import Forecast
from sharegpt4v.endpoint.completion import answer_of, record_of, refusal
from sharegpt4v.endpoint.failure import Failure, RequestFailed
from sharegpt4v.endpoint.pacing import Pacer, back_off
from sharegpt4v.endpoint.request import AnyRequest, BrokenImage, Skipped
from sharegpt4v.endpoint.run import Run, Stopped
from sharegpt4v.errors import UserError
from sharegpt4v.progress import duration

SKIPPED_IN_A_ROW = 10
FREE_WAITS = 10  # times that a request may be told to come back later before that counts as an attempt
LONG_WAIT = 10  # seconds; a longer one is reported


async def ask_directly(run: Run, missing: Mapping[str, AnyRequest]) -> None:
    """Ask for all that is missing, by `concurrency` workers, until nothing is left or the run is stopped."""
    workers, queue = _Workers(run), iter(missing.items())
    async with run.connection, asyncio.TaskGroup() as group:
        for _ in range(min(run.settings.endpoint.concurrency, len(missing))):
            group.create_task(workers.work(queue))


class _Workers:
    """What all requests under way have in common."""

    def __init__(self, run: Run) -> None:
        self.run, endpoint = run, run.settings.endpoint
        self.pacer = Pacer(
            endpoint.requests_per_minute,
            endpoint.tokens_per_minute,
            sleep=run.pause,
            longest_wait=endpoint.longest_wait_seconds,
        )
        self.forecast = Forecast()
        self.skipped_in_a_row = 0

    async def work(self, queue: Iterator[tuple[str, AnyRequest]]) -> None:
        """Take requests until none is left or the run is stopping."""
        run = self.run
        for key, request in queue:
            if run.stopped_by:
                return
            try:
                await _Question(self, key, request).ask()
                self.skipped_in_a_row = 0
            except Stopped:
                return
            except UserError as error:  # the disk is full
                run.stop(str(error))
                return
            except Skipped as reason:
                run.skip(key, str(reason))
                self.skipped_in_a_row += not isinstance(reason, BrokenImage)
                if self.skipped_in_a_row >= SKIPPED_IN_A_ROW:
                    told = f"the last one {request.name}: {reason}"
                    run.stop(f"{self.skipped_in_a_row} {run.noun} in a row without a reply, {told}")
            run.advance()


class _Question:
    """One question on its way to a reply, over as many requests as that takes."""

    def __init__(self, workers: _Workers, key: str, request: AnyRequest) -> None:
        self.run, self.settings, self.account = workers.run, workers.run.settings, workers.run.account
        self.pacer, self.forecast = workers.pacer, workers.forecast
        self.key, self.request = key, request
        self.bound = self.run.bound(request)
        self.most = self.bound.prompt_tokens + self.bound.completion_tokens
        self.requests = self.failures = self.waits = 0

    async def ask(self) -> None:
        """Ask until there is a reply, and keep it; `Skipped` when there is none after all attempts."""
        body = await asyncio.to_thread(self.settings.chat, self.request)  # images are read and made ready meanwhile
        while True:
            reservation = await self.reserve()
            expected = self.forecast.expected(self.most)
            sent = await self.turn(reservation, expected)
            self.requests += 1
            record = record_of(self.request.about(), self.settings, self.requests)
            try:
                answer = await self.run.connection.request("POST", "chat/completions", body)
                self.pacer.told(answer.headers)
                record |= answer_of(answer.body, self.bound, self.run.connection)
                taken = record["prompt_tokens"] + record["completion_tokens"]
                self.forecast.learn(self.most, taken)
                self.pacer.correct(taken, expected)
                return await self.keep(reservation, record)
            except RequestFailed as error:
                failure, headers = error.failure, error.headers
            if failure.status == 429:
                self.pacer.told(headers)
                self.pacer.refused(sent)
            if failure.is_refusal:
                return await self.keep(reservation, record | refusal(failure))
            await self.account.fail(reservation, failure)
            wanted = failure.other_length_parameter
            if wanted and wanted not in body:
                self.settings.length_parameter.name = wanted
                body = await asyncio.to_thread(self.settings.chat, self.request)
            else:
                await self.wait_after(failure)

    async def reserve(self) -> Reservation:
        """Return the reservation of the next request, in memory."""
        reservation = await self.account.reserve(self.key, self.bound)
        if reservation is None:
            self.run.stop(self.account.guard.exhausted())
            raise Stopped
        return reservation

    async def turn(self, reservation: Reservation, expected: float) -> float:
        """Wait until the request may go by the pace, with its reservation on disk; return the moment."""
        try:
            sent = await self.pacer.turn(expected)
            if self.run.stopped_by:
                raise Stopped
            await self.account.write(reservation)
        except BaseException:
            self.account.cancel(reservation)
            raise
        return sent

    async def keep(self, reservation: Reservation, record: dict[str, Any]) -> None:
        """Put the record of a reply on disk, and commit the reservation."""
        try:
            await self.run.keep([(self.key, record | {"reservation": reservation.name})])
        except UserError:
            self.account.give_up(reservation)
            self.run.unwritten += 1
            raise
        self.account.commit(reservation, record)

    async def wait_after(self, failure: Failure) -> None:
        """Wait until the same request may be sent again; `Skipped` or `Stopped` where that makes no sense."""
        if why := failure.stops_all(self.settings.endpoint.model):
            self.run.stop(why)
        if self.run.stopped_by:
            raise Stopped
        if not failure.is_transient:
            raise Skipped(failure.reason)
        wait = failure.told_to_wait
        if wait and self.waits < FREE_WAITS:
            self.waits += 1
            self.pacer.hold(wait)
            if wait >= LONG_WAIT:
                self.run.say(f"{self.run.connection.address} asks to wait {duration(wait)}")
            return
        self.failures += 1
        if self.failures >= self.settings.endpoint.attempts:
            raise Skipped(f"{failure.reason} ({self.requests} attempts)")
        await self.run.pause(max(back_off(self.failures, self.settings.back_off_seconds), failure.wait or 0))
