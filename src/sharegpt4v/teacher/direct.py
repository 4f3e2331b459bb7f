"""Asking an endpoint one question per request, many at a time, at the pace that it allows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sharegpt4v.progress import duration
from sharegpt4v.teacher.connection import Connection
from sharegpt4v.teacher.pacing import Pacer, back_off, retry_after
from sharegpt4v.teacher.reply import Failure, answer_of, record_of, refusal
from sharegpt4v.teacher.request import AnyRequest, SetAside
from sharegpt4v.teacher.run import Run, Stopped

if TYPE_CHECKING:
    import openai

SET_ASIDE_IN_A_ROW = 10


async def ask_directly(run: Run, missing: Mapping[str, AnyRequest]) -> None:
    """Ask for all that is missing, by `concurrency` workers, until nothing is left or the run is stopped."""
    await _Asking(run).ask(missing)


class _Asking:
    def __init__(self, run: Run) -> None:
        self.run, self.settings = run, run.settings
        self.pacer = Pacer(self.settings.requests_per_minute, self.settings.tokens_per_minute, sleep=run.pause)
        self.in_a_row = 0

    async def ask(self, missing: Mapping[str, AnyRequest]) -> None:
        self.openai = self.run.connection.open(self.settings.timeout_seconds)
        queue = iter(missing.items())
        async with self.openai, asyncio.TaskGroup() as group:
            for _ in range(min(self.settings.concurrency, len(missing))):
                group.create_task(self.work(queue))

    async def work(self, queue: Iterator[tuple[str, AnyRequest]]) -> None:
        """Take requests until none is left or the run is stopping."""
        run = self.run
        for key, request in queue:
            prompt_tokens = run.tokens.prompt(request)
            promise = await run.purse.promise_if_allowed(run.purse.most(prompt_tokens, self.settings.max_tokens))
            if promise is None:
                run.stop(run.purse.empty())
                return
            cost = 0.0
            try:
                if run.stopped_by:
                    return
                record = await self.reply(request, prompt_tokens)
                cost = await run.keep([(key, record)])
                self.in_a_row = 0
            except Stopped:
                return
            except SetAside as reason:
                run.leave(key, str(reason))
                self.in_a_row += 1
                if self.in_a_row >= SET_ASIDE_IN_A_ROW:
                    run.stop(
                        f"{self.in_a_row} {run.noun} in a row without a reply, the last one {request.name}: {reason}"
                    )
            finally:
                run.purse.settle(promise, cost)
            run.progress.advance(note=run.purse.note())

    async def reply(self, request: AnyRequest, prompt_tokens: int) -> dict[str, Any]:
        """Ask until there is a reply, and return its record."""
        import openai

        body = self.settings.chat(request)
        failures = attempts = 0
        while True:
            expected = self.run.tokens.expected(prompt_tokens)
            sent = await self.pacer.turn(expected)
            if self.run.stopped_by:
                raise Stopped
            attempts += 1
            told_to_wait = None
            record = record_of(request.about(), self.settings, attempts)
            try:
                raw = await self.openai.chat.completions.with_raw_response.create(**body)  # type: ignore[call-overload]
                self.pacer.told(raw.headers)
                record |= answer_of(_json(raw))
                self.run.tokens.learn(prompt_tokens, record)
                self.pacer.correct((record["prompt_tokens"] + record["completion_tokens"]) or expected, expected)
                return record
            except openai.APIStatusError as error:
                failure = failure_of(error, self.run.connection)
                reason = failure.reason
                wanted = failure.other_length_parameter
                if wanted and wanted not in body:
                    self.settings.length_parameter.name = wanted
                    body = self.settings.chat(request)
                    continue
                if failure.is_refusal:
                    return record | refusal(failure)
                if why := failure.stops_all(self.settings.model):
                    self.run.stop(why)
                if self.run.stopped_by:
                    raise Stopped from None
                if not failure.passes:
                    raise SetAside(reason) from None
                told_to_wait = retry_after(error.response.headers)
                if failure.status == 429:
                    self.pacer.told(error.response.headers)
                    self.pacer.refused(sent)
            except (openai.APIError, SetAside) as error:
                reason = self.run.connection.one_line(str(error))
            if told_to_wait:
                # To be told when to come back is not a failure: it takes none of the attempts.
                self.pacer.hold(told_to_wait)
                if told_to_wait >= 10:
                    self.run.say(f"{self.run.connection.shown} asks to wait {duration(told_to_wait)}")
                continue
            failures += 1
            if failures >= self.settings.attempts:
                raise SetAside(f"{reason} ({attempts} attempts)")
            await self.run.pause(back_off(failures, self.settings.back_off_seconds))


def failure_of(error: openai.APIStatusError, connection: Connection) -> Failure:
    """Return an error status in the project's own form."""
    said = error.message.removeprefix(f"Error code: {error.status_code} - ")
    return Failure(error.status_code, f"{error.code} {error.type}", connection.one_line(said))


def _json(raw: Any) -> Any:
    """Return the body of an answer, None when it is not JSON."""
    try:
        return raw.http_response.json()
    except ValueError:
        return None
