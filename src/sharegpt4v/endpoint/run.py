"""One run of the client, whichever way it asks: what is missing, what it costs, what it keeps, and why it stops."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sharegpt4v.endpoint.account import Account
from sharegpt4v.endpoint.budget import prompt_bound
from sharegpt4v.endpoint.completion import Bound
from sharegpt4v.endpoint.connection import Connection
from sharegpt4v.endpoint.journal import Journal
from sharegpt4v.endpoint.request import AnyRequest
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.errors import UserError
from sharegpt4v.ledger import Ledger
from sharegpt4v.progress import Progress

Remarks = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # a record → what is to be kept with it
Kept = Callable[[str, Mapping[str, Any]], None]  # is called with the key and the record of a reply that is on disk


class Stopped(Exception):
    """The run is ending while a request was waiting for its turn."""


class Run:
    """The connection, the money, the ledger and what has happened so far. The rest is as in `ask`."""

    def __init__(
        self,
        settings: ChatSettings,
        ledger: Ledger,
        title: str,
        noun: str,
        remarks: Remarks | None,
        kept: Kept | None = None,
    ) -> None:
        self.settings, self.ledger = settings, ledger
        self.title, self.noun, self.remarks, self.kept = title, noun, remarks, kept
        self.connection = Connection(settings.endpoint)
        self.account = Account(settings, ledger)
        self.skipped: dict[str, str] = {}
        self.unwritten = 0  # replies
        self.stopping = asyncio.Event()
        self.stopped_by: str | None = None
        self._journal = Journal(ledger)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.account.close()

    def missing(self, requests: Iterable[AnyRequest]) -> dict[str, AnyRequest]:
        """Return what the ledger does not hold yet, by key, each once; if there is any, add up what has been spent."""
        total, missing = 0, dict[str, AnyRequest]()
        for request in requests:
            total += 1
            if (key := self.settings.key(request)) not in self.ledger:
                missing.setdefault(key, request)
        if missing:
            if self.settings.endpoint.budget:
                self._count_earlier(max(self.bound(request).prompt_tokens for request in missing.values()))
            about = f"{len(missing):,} of {total:,} {self.noun}"
            self.say(f"asking {self.settings.endpoint.model} at {self.connection.address} about {about}")
        self._progress = Progress(self.title, total, self.noun, done=total - len(missing))
        return missing

    def advance(self, units: int = 1) -> None:
        """Count what has a reply or is skipped; whoever hears of every reply shows that itself."""
        if not self.kept:
            self._progress.advance(units, self.account.guard.note())

    def _count_earlier(self, longest_prompt: int) -> None:
        unknown = self.account.count_earlier(Bound(longest_prompt, self.settings.max_tokens))
        if unknown:
            self.say(
                f"{unknown:,} requests were under way when earlier runs ended: each counts as the most it can cost"
            )

    def bound(self, request: AnyRequest) -> Bound:
        """Return the most tokens that a request can be billed for."""
        return Bound(prompt_bound(request, self.settings.image_tokens), self.settings.max_tokens)

    async def keep(self, replies: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Put replies into the ledger, and return once they are on disk."""
        if self.remarks:
            replies = [(key, {**record, **self.remarks(record)}) for key, record in replies]
        await self._journal.write(replies)
        if self.kept:
            for key, record in replies:
                self.kept(key, record)

    def skip(self, key: str, reason: str) -> None:
        """Leave a request to the next run."""
        self.skipped[key] = reason

    def stop(self, why: str) -> None:
        """Take no new request, end all waiting; what is under way is still kept. The first reason is the one told."""
        self.stopped_by = self.stopped_by or why
        self.stopping.set()

    def finish(self) -> dict[str, str]:
        """Return the reasons of what was skipped, by key; a `UserError` when the run was stopped."""
        if self.stopped_by:
            kept = f"{len(self.ledger):,} replies are kept in {self.ledger.path}"
            lost = f"; {self.unwritten:,} that came could not be, and count as the most that they can cost"
            raise UserError(f"{self.connection.address}: {self.stopped_by}; {kept}{lost if self.unwritten else ''}")
        if self.kept and (spent := self.account.guard.note()):
            self.say(f"{self.connection.address}: {spent}")
        return self.skipped

    async def pause(self, seconds: float) -> None:
        """Sleep, but not longer than the run lasts."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        if self.stopping.is_set():
            raise Stopped

    def say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk below a log must not lose replies
            print(text, file=sys.stderr, flush=True)
