"""One run of the client, whichever way it asks: what is missing, what it costs, what it keeps, and why it stops."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.ledger import Ledger
from sharegpt4v.progress import Progress
from sharegpt4v.teacher.budget import Purse, Tokens
from sharegpt4v.teacher.connection import Connection
from sharegpt4v.teacher.request import AnyRequest
from sharegpt4v.teacher.settings import TeacherSettings

Remarks = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # a record → what is to be kept with it


class Stopped(Exception):
    """The run is ending while a request was waiting for its turn."""


class Run:
    """The connection, the money, the ledger and what has happened so far. `title`, `noun` and `remarks` as in `ask`."""

    def __init__(
        self, settings: TeacherSettings, ledger: Ledger, title: str, noun: str, remarks: Remarks | None
    ) -> None:
        self.settings, self.ledger = settings, ledger
        self.title, self.noun, self.remarks = title, noun, remarks
        self.connection = Connection(settings.base_url, settings.api_key_variable)
        self.tokens = Tokens(settings.image_tokens, settings.max_tokens)
        self.purse = Purse(settings.budget)
        self.set_aside: dict[str, str] = {}
        self.stopping = asyncio.Event()
        self.stopped_by: str | None = None
        self._writing = asyncio.Lock()
        self._unwritten: list[tuple[str, dict[str, Any]]] = []

    def missing(self, requests: Iterable[AnyRequest]) -> dict[str, AnyRequest]:
        """Return what the ledger does not hold yet, by key, each once; if there is any, add up what has been spent."""
        total, missing = 0, dict[str, AnyRequest]()
        for request in requests:
            total += 1
            if (key := self.settings.key(request)) not in self.ledger:
                missing.setdefault(key, request)
        if missing:
            for record in self.ledger.records() if self.purse.budget else ():
                self.purse.spent += self.purse.cost(record)
                self.tokens.saw(record)
            about = f"{len(missing):,} of {total:,} {self.noun}"
            self.say(f"asking {self.settings.model} at {self.connection.shown} about {about}")
        self.progress = Progress(self.title, total, self.noun, done=total - len(missing))
        return missing

    async def keep(self, replies: Sequence[tuple[str, dict[str, Any]]]) -> float:
        """Put replies into the ledger; return what they cost once they are on disk."""
        if self.remarks:
            replies = [(key, {**record, **self.remarks(record)}) for key, record in replies]
        self._unwritten += replies
        # Waiting for the disk in a thread leaves the loop free for other replies. What comes meanwhile is written
        # together, so that the disk is waited for less often than there are replies.
        async with self._writing:
            if self._unwritten:
                together, self._unwritten = self._unwritten, []
                await asyncio.to_thread(self.ledger.extend, together)
        return sum(self.purse.cost(record) for _, record in replies)

    def leave(self, key: str, reason: str) -> None:
        """Set a request aside until the next run."""
        self.set_aside[key] = reason

    def stop(self, why: str) -> None:
        """Take no new request, end all waiting; what is under way is still kept. The first reason is the one told."""
        self.stopped_by = self.stopped_by or why
        self.stopping.set()

    def finish(self) -> dict[str, str]:
        """Return the reasons of what was set aside, by key; a `UserError` when the run was stopped."""
        if self.stopped_by:
            kept = f"{len(self.ledger):,} replies are kept in {self.ledger.path}"
            raise UserError(f"{self.connection.shown}: {self.stopped_by}; {kept}")
        return self.set_aside

    async def pause(self, seconds: float) -> None:
        """Sleep, but not longer than the run lasts."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        if self.stopping.is_set():
            raise Stopped

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
