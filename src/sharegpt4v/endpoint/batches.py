"""The batches under way at OpenAI's Batch API: submitting, polling, and collecting what they came to.

From before it is submitted until its replies are in the ledger, a batch is in the folder `<ledger>.batches`: its state
under its name, and what it asks for. After a kill the same command resumes with it. The endpoint is given the name as
metadata, by which a batch is found again that was made, but whose id was not written down: nothing is submitted twice.

A batch costs what its replies cost. A request that may have been carried out, but has no usable reply, counts as the
most that a request of its batch can cost.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sharegpt4v.endpoint.batch_api import ENDED, Batch, BatchApi
from sharegpt4v.endpoint.batch_files import NOT_RUN, Queue, read_results, write_requests
from sharegpt4v.endpoint.batch_folder import BatchFolder, State
from sharegpt4v.endpoint.completion import Bound
from sharegpt4v.endpoint.failure import Failure, RequestFailed
from sharegpt4v.endpoint.request import AnyRequest
from sharegpt4v.endpoint.retrying import retry
from sharegpt4v.endpoint.run import Run

DAY = 86400
KEPT_TOGETHER = 1000  # replies
QUEUE_IS_FULL = "token_limit_exceeded"
NO_LINE = Failure(NOT_RUN, "", "its batch ended without it", charged=True)
NOT_CARRIED_OUT = replace(NO_LINE, charged=False)


class Batches:
    """The batches of a run's ledger by name; `full` says that the endpoint takes no more until one has ended."""

    def __init__(self, run: Run, missing: Mapping[str, AnyRequest]) -> None:
        self.run, self.settings, self.missing = run, run.settings, missing
        self.api = BatchApi(run.connection)
        self.folder = BatchFolder(run.ledger.path)
        self.open = self.folder.states
        for name, state in self.open.items():
            run.account.reserve_batch(name, self._bound(state))
        self.most, self.full = self.settings.batch_requests, False
        self.tries: Counter[str] = Counter()

    def keys(self) -> set[str]:
        """Return the keys of all requests that are under way."""
        return {key for name in self.open for key in self.folder.asked(name)}

    async def recover(self) -> None:
        """Find the ids of batches that were being submitted when the run was killed, or forget them."""
        lost = [name for name, state in self.open.items() if state.id is None]
        found = await self._find(lost) if lost else {}
        for name in lost:
            if name in found:
                self.folder.change(name, self.open[name].model_copy(update={"id": found[name]}))
            else:
                self._forget(name)

    async def submit(self, queue: Queue) -> bool:
        """Submit a batch of the first requests of the queue; False when there is none or the budget allows none."""
        name, path = uuid.uuid4().hex, self.folder.path / "input"
        path.parent.mkdir(exist_ok=True)
        try:
            written = write_requests(path, queue, self.run, self.most)
            if written.asked:
                count = len(written.asked)
                bound = {"prompt_tokens": written.bound.prompt_tokens, "longest_prompt": written.longest_prompt}
                state = State(id=None, time=time.time(), requests=count, **bound)
                self.folder.begin(name, state, written.asked)
                self.run.account.reserve_batch(name, self._bound(state))
                file = await retry(self.run, lambda: self.api.upload(name, path))
                batch = await self._create(name, file)
                self.folder.change(name, state.model_copy(update={"id": batch}))
                self.run.say(f"batch {self.run.connection.one_line(batch)} of {count:,} {self.run.noun} is submitted")
        finally:
            path.unlink(missing_ok=True)
        return bool(written.asked)

    async def _create(self, name: str, file: str) -> str:
        """Create the batch and return its id. After no answer, look it up before the call is retried."""
        tries = 0

        async def create() -> str:
            nonlocal tries
            tries += 1
            if tries > 1 and (found := await self._find([name])):
                return found[name]
            return await self.api.create(name, file)

        return await retry(self.run, create)

    async def _find(self, names: list[str]) -> dict[str, str]:
        """Return the ids of those of these batches that the endpoint knows."""
        since = min(self.open[name].time for name in names) - DAY  # clocks differ
        return await retry(self.run, lambda: self.api.find(names, since))

    async def cancel(self) -> None:
        """Ask for the end of all batches."""
        for state in self.open.values():
            with contextlib.suppress(RequestFailed):  # it has ended already, which is seen when collecting
                await self.api.cancel(state.id or "")

    async def collect(self, queue: Queue) -> bool:
        """Keep what the batches that have ended came to, and put what is to be asked again into the queue.

        Return whether any has ended.
        """
        ended = False
        for name in list(self.open):
            batch = await self._poll(name, self.open[name].id or "")
            if batch is None or batch.status in ENDED:
                await self._collect(name, batch, queue)
                ended = True
        return ended

    async def _poll(self, name: str, batch: str) -> Batch | None:
        """Return a batch; None when a server on this machine, which forgets its batches, has ended since."""

        async def poll() -> Batch | None:
            try:
                return await self.api.retrieve(batch)
            except RequestFailed as error:
                if error.failure.status != 404:
                    raise
                if self.run.connection.is_local:
                    return None
                where = f"if it is gone for good, remove {self.folder.path / name}.json, and it is asked for again"
                raise RequestFailed(replace(error.failure, message=f"{error.failure.message}; {where}")) from None

        return await retry(self.run, poll, for_hours=True)

    async def _collect(self, name: str, batch: Batch | None, queue: Queue) -> None:
        """Keep the replies of a batch that has ended; the rest is asked again or skipped."""
        asked, number, cost = self.folder.asked(name), self.open[name].id or "", 0.0
        left = dict.fromkeys(asked, NO_LINE)
        failed = batch is not None and batch.status == "failed"
        if batch:
            self.full = failed and self._queue_is_full(batch, len(asked))
            for file in (batch.output_file_id, batch.error_file_id):
                if file:
                    cost += await self._keep(file, name, number, asked, left)
            if failed or _tells_of_all(batch, len(asked), left):
                left |= {key: NOT_CARRIED_OUT for key, failure in left.items() if failure is NO_LINE}
        cost += await self.run.account.fail_batch(name, number, left, self._bound_of_one(name))
        for key, failure in left.items():
            self._skip_or_ask_again(key, failure, queue, counts=not failed)
        self._forget(name, cost)
        self.run.advance(len(asked) - len(left))
        if batch and batch.input_file_id:
            with contextlib.suppress(RequestFailed):  # the endpoint deletes it by itself after a month
                await self.api.delete(batch.input_file_id)

    async def _keep(self, file: str, name: str, batch: str, asked: dict[str, Any], left: dict[str, Failure]) -> float:
        """Put the replies of a file of results into the ledger, and take them out of `left`; return what they cost."""
        run, bound = self.run, self._bound_of_one(name)
        content = await retry(run, lambda: self.api.content(file, len(asked), self.settings.max_tokens))
        cost, replies = 0.0, list[tuple[str, dict[str, Any]]]()
        for result in read_results(content, batch, asked, bound, self.settings, run.connection):
            if result.key not in left:
                continue  # a second line of the same request
            if result.failure:
                left[result.key] = result.failure
                continue
            del left[result.key]
            if result.record and result.key not in run.ledger:
                cost += run.account.guard.cost(result.record)
                replies.append((result.key, result.record))
            if len(replies) == KEPT_TOGETHER:
                await run.keep(replies)
                replies = []
        await run.keep(replies)
        return cost

    def _skip_or_ask_again(self, key: str, failure: Failure, queue: Queue, counts: bool) -> None:
        self.tries[key] += counts
        if wanted := failure.other_length_parameter:
            self.settings.length_parameter.name = wanted
        if not failure.is_transient and not wanted:
            self.run.skip(key, failure.reason)
        elif self.tries[key] >= self.settings.endpoint.attempts:
            self.run.skip(key, f"{failure.reason} ({self.tries[key]} attempts)")
        elif key in self.missing:
            queue.append((key, self.missing[key]))

    def _queue_is_full(self, batch: Batch, requests: int) -> bool:
        """Say whether a batch failed because others are before it; if there are none, the next is half as large."""
        errors = (batch.errors and batch.errors.data) or []
        if not any(error.code == QUEUE_IS_FULL for error in errors) or requests == 1:
            told = "; ".join(error.message or "" for error in errors) or "no reason given"
            self.run.stop(self.run.connection.one_line(f"batch {batch.id} failed: {told}"))
            return False
        others = len(self.open) > 1
        if not others:
            self.most = requests // 2
        what = "waiting for others" if others else "halving"
        self.run.say(self.run.connection.one_line(f"batch {batch.id}: too much at a time; {what}"))
        return others

    def _bound(self, state: State) -> Bound:
        """Return what a whole batch can be billed for at most."""
        return Bound(state.prompt_tokens, state.requests * self.settings.max_tokens)

    def _bound_of_one(self, name: str) -> Bound:
        """Return what any request of a batch can be billed for at most."""
        state = self.open[name]
        longest = state.prompt_tokens if state.longest_prompt is None else state.longest_prompt
        return Bound(longest, self.settings.max_tokens)

    def _forget(self, name: str, cost: float = 0.0) -> None:
        self.run.account.guard.commit(name, cost)
        self.folder.forget(name)


def _tells_of_all(batch: Batch, requests: int, left: Mapping[str, Failure]) -> bool:
    """Say whether the results answer as many of the requests of a batch as the endpoint has carried out."""
    if batch.request_counts is None:
        return False
    answered = requests - len(left) + sum(failure.status != NOT_RUN for failure in left.values())
    return batch.request_counts.completed + batch.request_counts.failed <= answered
