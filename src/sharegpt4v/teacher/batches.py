"""The batches under way at OpenAI's Batch API: handing in, looking after, and collecting what they came to.

From before it is handed in until its replies are in the ledger, a batch stands in the folder `<ledger>.batches`: its
state under its name, and what it asks for. After a kill the same command goes on with it. The endpoint is given the
name as metadata, by which a batch is found again that was made, but whose id was not written down: nothing is handed
in twice.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sharegpt4v.teacher.batch_files import NOT_RUN, Queue, read_results, write_requests
from sharegpt4v.teacher.batch_folder import BatchFolder
from sharegpt4v.teacher.insisting import insist
from sharegpt4v.teacher.reply import Failure
from sharegpt4v.teacher.request import AnyRequest
from sharegpt4v.teacher.run import Run

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types import Batch

ENDED = ("completed", "failed", "expired", "cancelled")
NAME = "sharegpt4v"  # the key of a batch's metadata that holds its name
DAY = 86400
KEPT_TOGETHER = 1000  # replies
QUEUE_IS_FULL = "token_limit_exceeded"


class Batches:
    """The batches of a run's ledger by name; `full` says that the endpoint takes no more until one has ended."""

    def __init__(self, run: Run, missing: Mapping[str, AnyRequest]) -> None:
        self.run, self.settings, self.missing = run, run.settings, missing
        self.folder = BatchFolder(run.ledger.path)
        self.open = self.folder.states
        self.promises = {name: self._promise(state) for name, state in self.open.items()}
        self.most, self.full = self.settings.batch_requests, False
        self.tries: Counter[str] = Counter()

    @cached_property
    def openai(self) -> AsyncOpenAI:
        """The client, opened when it is first needed: loading its package takes longer than all there is to resume."""
        return self.run.connection.open(self.settings.timeout_seconds)

    def keys(self) -> set[str]:
        """Return the keys of all requests that are under way."""
        return {key for name in self.open for key in self.folder.asked(name)}

    async def recover(self) -> None:
        """Find the ids of batches that were being handed in when the run was killed, or forget them."""
        lost = [name for name, state in self.open.items() if state["id"] is None]
        found = await self._find(lost) if lost else {}
        for name in lost:
            if name in found:
                self.folder.change(name, self.open[name] | {"id": found[name]})
            else:
                self._forget(name)

    async def hand_in(self, queue: Queue) -> bool:
        """Hand in a batch of the first requests of the queue; False when there is none or the budget allows none."""
        name, path = uuid.uuid4().hex, self.folder.path / "input"
        path.parent.mkdir(exist_ok=True)
        asked, prompt_tokens = write_requests(path, queue, self.run, self.most)
        if asked:
            state = {"id": None, "time": time.time(), "requests": len(asked), "prompt_tokens": prompt_tokens}
            self.folder.begin(name, state, asked)
            self.promises[name] = self._promise(state)
            with open(path, "rb") as file:
                upload = (f"{name}.jsonl", file)
                sent = await insist(self.run, lambda: self.openai.files.create(file=upload, purpose="batch"))
            self.folder.change(name, state | {"id": await self._create(name, sent.id)})
            self.run.say(f"batch {self.open[name]['id']} of {len(asked):,} {self.run.noun} is handed in")
        path.unlink()
        return bool(asked)

    async def _create(self, name: str, file: str) -> str:
        """Make the batch and return its id. Where that has no answer, it is looked for before it is made again."""
        tries = 0

        async def create() -> str:
            nonlocal tries
            tries += 1
            if tries > 1 and (found := await self._find([name])):
                return found[name]
            made = await self.openai.batches.create(
                input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h", metadata={NAME: name}
            )
            return made.id

        return await insist(self.run, create)

    async def _find(self, names: Collection[str]) -> dict[str, str]:
        """Return the ids of those of these batches that the endpoint knows."""
        since = min(self.open[name]["time"] for name in names) - DAY  # clocks differ

        async def find() -> dict[str, str]:
            found: dict[str, str] = {}
            async for batch in self.openai.batches.list(limit=100):
                if batch.created_at < since:
                    break
                if (name := (batch.metadata or {}).get(NAME, "")) in names:
                    found[name] = batch.id
            return found

        return await insist(self.run, find)

    async def cancel(self) -> None:
        """Ask for the end of all batches."""
        import openai

        for state in self.open.values():
            with contextlib.suppress(openai.APIError):  # it has ended already; how it stands is seen when collecting
                await self.openai.batches.cancel(state["id"])

    async def collect(self, queue: Queue) -> bool:
        """Keep what the batches that have ended came to, and put what is to be asked again into the queue.

        Return whether any has ended.
        """
        ended = False
        for name in list(self.open):
            batch = await self._look(self.open[name]["id"])
            if batch is None or batch.status in ENDED:
                await self._collect(name, batch, queue)
                ended = True
        return ended

    async def _look(self, batch: str) -> Batch | None:
        """Return how a batch stands; None when a server on this machine, which forgets its batches, has ended since."""
        import openai

        async def look() -> Batch | None:
            try:
                return await self.openai.batches.retrieve(batch)
            except openai.NotFoundError:
                if self.run.connection.is_local:
                    return None
                raise

        return await insist(self.run, look, patient=True)

    async def _collect(self, name: str, batch: Batch | None, queue: Queue) -> None:
        """Keep the replies of a batch that has ended; the rest is asked again or set aside."""
        asked, cost = self.folder.asked(name), 0.0
        left = dict.fromkeys(asked, Failure(NOT_RUN, "", "its batch ended without it"))
        failed = batch is not None and batch.status == "failed"
        if batch:
            self.full = failed and self._queue_is_full(batch, len(asked))
            for file in (batch.output_file_id, batch.error_file_id):
                if file:
                    cost += await self._keep(file, batch.id, asked, left)
        for key, failure in left.items():
            self._leave_or_ask_again(key, failure, queue, counts=not failed)
        self._forget(name, cost)
        self.run.progress.advance(len(asked) - len(left), self.run.purse.note())
        if batch:
            with contextlib.suppress(Exception):  # the endpoint deletes it by itself after a month
                await self.openai.files.delete(batch.input_file_id)

    async def _keep(self, file: str, batch: str, asked: dict[str, Any], left: dict[str, Failure]) -> float:
        """Put the replies of an output file into the ledger, and take them out of `left`; return what they cost."""
        content = (await insist(self.run, lambda: self.openai.files.content(file))).content
        cost, replies = 0.0, list[tuple[str, dict[str, Any]]]()
        for result in read_results(content, batch, asked, self.settings, self.run.connection):
            if result.failure:
                left[result.key] = result.failure
            elif result.record and left.pop(result.key, None) and result.key not in self.run.ledger:
                self.run.tokens.saw(result.record)
                replies.append((result.key, result.record))
            if len(replies) == KEPT_TOGETHER:
                cost += await self.run.keep(replies)
                replies = []
        return cost + await self.run.keep(replies)

    def _leave_or_ask_again(self, key: str, failure: Failure, queue: Queue, counts: bool) -> None:
        self.tries[key] += counts
        if wanted := failure.other_length_parameter:
            self.settings.length_parameter.name = wanted
        if not failure.passes and not wanted:
            self.run.leave(key, failure.reason)
        elif self.tries[key] >= self.settings.attempts:
            self.run.leave(key, f"{failure.reason} ({self.tries[key]} attempts)")
        elif key in self.missing:
            queue.append((key, self.missing[key]))

    def _queue_is_full(self, batch: Batch, requests: int) -> bool:
        """Say whether a batch failed because others stand before it; if there are none, the next is half as large."""
        errors = (batch.errors and batch.errors.data) or []
        if not any(error.code == QUEUE_IS_FULL for error in errors) or requests == 1:
            told = self.run.connection.one_line("; ".join(str(error.message) for error in errors))
            self.run.stop(f"batch {batch.id} failed: {told or 'no reason given'}")
            return False
        others = len(self.open) > 1
        if not others:
            self.most = requests // 2
        self.run.say(f"batch {batch.id}: too much at a time; {'waiting for others' if others else 'halving'}")
        return others

    def _promise(self, state: Mapping[str, Any]) -> int:
        """Set aside what a batch may cost at most."""
        reply_tokens = state["requests"] * self.settings.max_tokens
        return self.run.purse.promise(self.run.purse.most(state["prompt_tokens"], reply_tokens, batch=True))

    def _forget(self, name: str, cost: float = 0.0) -> None:
        self.run.purse.settle(self.promises.pop(name), cost)
        self.folder.forget(name)
