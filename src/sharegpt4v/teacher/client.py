"""The client of teacher and judge: asks any OpenAI-compatible endpoint, many things at a time, and loses no reply.

Every reply is in the ledger the moment it exists, under a key of everything it depends on, so that a run that was
killed asks only for what is missing. What an error means decides what happens:

    the endpoint is busy or away (408, 409, 429, 5xx, time-outs, broken connections)  waits and asks again
    the image goes against the endpoint's content policy                              is recorded like a reply
    the image itself is refused, unreadable, or was asked too often in vain           is set aside until the next run
    no request can succeed (401, 403, 404, spent quota; ten set aside in a row)       stops the run with one line
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sharegpt4v.errors import UserError
from sharegpt4v.ledger import Ledger, key_of
from sharegpt4v.progress import Progress, duration
from sharegpt4v.teacher.budget import Budget
from sharegpt4v.teacher.connection import Connection
from sharegpt4v.teacher.pacing import Pacer, back_off, retry_after
from sharegpt4v.teacher.request import AnyRequest, SetAside, answer_of

if TYPE_CHECKING:
    import openai

SET_ASIDE_IN_A_ROW = 10
POLICY = re.compile(
    r"content[ _-]?(policy|filter|management|moderation)|moderation|responsible ?ai|safety system", re.IGNORECASE
)


@dataclass(frozen=True)
class TeacherSettings:
    """How to reach the teacher, what to ask it for, and how hard to press. The key itself is never held here."""

    base_url: str
    model: str
    api_key_variable: str | None = "OPENAI_API_KEY"  # None: the endpoint wants no key
    temperature: float | None = None  # None: the endpoint's own default
    max_tokens: int = 1024
    image_detail: str = "high"  # high, low or auto
    concurrency: int = 8
    requests_per_minute: float | None = None
    timeout_seconds: float = 120.0
    attempts: int = 6
    back_off_seconds: float = 1.0

    def key(self, request: AnyRequest) -> str:
        """Return the ledger's key of a request: what is asked, the model and what shapes the reply."""
        shape = {name: getattr(self, name) for name in ("temperature", "max_tokens", "image_detail")}
        return key_of(*request.identity, self.model, shape)


class _Stopped(Exception):
    """The run is ending while this request was waiting for its turn."""


async def ask(
    requests: Sequence[AnyRequest],
    settings: TeacherSettings,
    ledger: Ledger,
    budget: Budget | None = None,
    *,
    title: str = "seed captions",
    noun: str = "images",
) -> dict[str, str]:
    """Ask for every request that `ledger` does not hold yet; return the reasons of those set aside, by key.

    Replies are records with what the request says of itself, model, answered_by (the model as the endpoint names it),
    text, finish_reason, prompt_tokens, completion_tokens, time (UTC) and attempts. Requests with equal keys are asked
    once. `title` and `noun` say in messages what is asked for, and about what. `UserError`: no key, a fatal answer, or
    a spent budget; replies under way are kept first.
    """
    return await _Run(settings, ledger, budget, title, noun).ask(requests)


class _Run:
    """One run of the client: the connection, the pace, and what has happened so far."""

    def __init__(self, settings: TeacherSettings, ledger: Ledger, budget: Budget | None, title: str, noun: str) -> None:
        self.settings, self.ledger, self.budget = settings, ledger, budget
        self.title, self.noun = title, noun
        self.connection = Connection(settings.base_url, settings.api_key_variable)
        self.pacer = Pacer(settings.requests_per_minute, sleep=self.pause)
        self.set_aside: dict[str, str] = {}
        self.in_a_row = 0
        self.spent = 0.0
        self.writing = asyncio.Lock()
        self.stopping = asyncio.Event()
        self.stopped_by: str | None = None

    async def ask(self, requests: Sequence[AnyRequest]) -> dict[str, str]:
        """Run `settings.concurrency` workers over what is missing."""
        wanted: dict[str, AnyRequest] = {}
        for request in requests:
            wanted.setdefault(self.settings.key(request), request)
        missing = {key: request for key, request in wanted.items() if key not in self.ledger}
        if self.budget:
            self.spent = sum(self.budget.cost(self.ledger[key]) for key in wanted if key in self.ledger)
        if missing:
            about = f"{len(missing):,} of {len(wanted):,} {self.noun}"
            self.say(f"asking {self.settings.model} at {self.connection.shown} about {about}")
            self.progress = Progress(self.title, len(wanted), self.noun, done=len(wanted) - len(missing))
            self.openai = self.connection.open(self.settings.timeout_seconds)
            queue = iter(missing.items())
            async with self.openai, asyncio.TaskGroup() as group:
                for _ in range(min(self.settings.concurrency, len(missing))):
                    group.create_task(self.work(queue))
        if self.stopped_by:
            kept = f"{len(self.ledger):,} replies are kept in {self.ledger.path}"
            raise UserError(f"{self.connection.shown}: {self.stopped_by}; {kept}")
        return self.set_aside

    async def work(self, queue: Iterator[tuple[str, AnyRequest]]) -> None:
        """Take requests until none is left or the run is stopping."""
        for key, request in queue:
            self.check_budget()
            if self.stopped_by:
                return
            try:
                record = await self.reply(request)
            except _Stopped:
                return
            except SetAside as reason:
                self.set_aside[key] = str(reason)
                self.in_a_row += 1
                if self.in_a_row >= SET_ASIDE_IN_A_ROW:
                    self.stop(
                        f"{self.in_a_row} {self.noun} in a row without a reply, the last one {request.name}: {reason}"
                    )
            else:
                # Waiting for the disk in a thread leaves the loop free for other replies; the ledger wants one writer.
                async with self.writing:
                    await asyncio.to_thread(self.ledger.append, key, record)
                self.in_a_row = 0
                if self.budget:
                    self.spent += self.budget.cost(record)
            self.progress.advance(note=f"{self.spent:.2f} USD so far" if self.budget else "")

    async def reply(self, request: AnyRequest) -> dict[str, Any]:
        """Ask until there is a reply, and return its record."""
        import openai

        messages = request.messages(self.settings.image_detail)
        failures = attempts = 0
        while True:
            await self.pacer.turn()
            if self.stopped_by:
                raise _Stopped
            attempts += 1
            try:
                completion = await self.openai.chat.completions.create(
                    model=self.settings.model,
                    messages=messages,  # type: ignore[arg-type]
                    max_tokens=self.settings.max_tokens,
                    temperature=openai.omit if self.settings.temperature is None else self.settings.temperature,
                )
                return {**self.record(request, attempts), **answer_of(completion)}
            except openai.APIStatusError as error:
                said = error.message.removeprefix(f"Error code: {error.status_code} - ")
                reason = self.connection.one_line(f"{error.status_code} {said}")
                if error.status_code in (400, 403, 451) and POLICY.search(f"{error.code} {error.message}"):
                    return {**self.record(request, attempts), "text": reason, "finish_reason": "content_filter"}
                self.stop_if_fatal(error, reason)
                if error.status_code not in (408, 409, 429) and error.status_code < 500:
                    raise SetAside(reason) from None
                told_to_wait = retry_after(error.response.headers)
            except (openai.APIError, SetAside) as error:
                reason, told_to_wait = self.connection.one_line(str(error)), None
            if told_to_wait:
                # To be told when to come back is not a failure: it takes none of the attempts.
                self.pacer.hold(told_to_wait)
                if told_to_wait >= 10:
                    self.say(f"{self.connection.shown} asks to wait {duration(told_to_wait)}")
                continue
            failures += 1
            if failures >= self.settings.attempts:
                raise SetAside(f"{reason} ({attempts} attempts)")
            await self.pause(back_off(failures, self.settings.back_off_seconds))

    def record(self, request: AnyRequest, attempts: int) -> dict[str, Any]:
        """Return the part of a record that does not depend on the answer."""
        return {
            **request.about(),
            "model": self.settings.model,
            "answered_by": None,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "attempts": attempts,
        }

    def stop_if_fatal(self, error: openai.APIStatusError, reason: str) -> None:
        """Stop the whole run when no other request could fare better."""
        # A 401 may quote part of the key, so its text is not repeated.
        if error.status_code == 401:
            self.stop("401, the key is missing or not accepted; set the one that api_key_variable names")
        elif error.status_code in (403, 404):
            self.stop(f"{reason}; check base_url, model '{self.settings.model}' and what the key may use")
        elif error.status_code == 429 and "insufficient_quota" in f"{error.code} {error.type}":
            self.stop(f"{reason}; the account has no credit left")
        if self.stopped_by:
            raise _Stopped

    def check_budget(self) -> None:
        """Stop the run when the money is spent."""
        if self.budget and self.budget.exhausted(self.spent):
            self.stop(f"{self.spent:.2f} USD spent, the budget is {self.budget.limit_usd:.2f} USD; raise it to go on")

    def stop(self, why: str) -> None:
        """Take no new request, end all waiting; what is under way is still kept. The first reason is the one told."""
        self.stopped_by = self.stopped_by or why
        self.stopping.set()

    async def pause(self, seconds: float) -> None:
        """Sleep, but not longer than the run lasts."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        if self.stopping.is_set():
            raise _Stopped

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
