"""Asking through OpenAI's Batch API: files of requests, answered within a day at a lower price.

A run may change from one mode to the other in the middle: the replies have the same keys in the same ledger. Asking
directly begins with cancelling the batches that are under way, so that nothing is paid for twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from sharegpt4v.endpoint.batch_files import Queue
from sharegpt4v.endpoint.batches import Batches
from sharegpt4v.endpoint.request import AnyRequest
from sharegpt4v.endpoint.run import Run

FIRST_POLL_SECONDS = 1.0


async def ask_by_batch(run: Run, missing: Mapping[str, AnyRequest]) -> None:
    """Submit all that is missing, in as many batches as it takes, and wait for the replies of all batches."""
    batches = Batches(run, missing)
    if not missing and not batches.open:
        return
    async with run.connection:
        await batches.recover()
        under_way = batches.keys()
        queue: Queue = deque((key, request) for key, request in missing.items() if key not in under_way)
        wait = FIRST_POLL_SECONDS
        while (queue or batches.open) and not run.stopped_by:
            submitted = not batches.full and await batches.submit(queue)
            if queue and not submitted and not batches.open:
                run.stop(run.account.guard.exhausted())
                break
            ended = await batches.collect(queue)
            if ended or (submitted and queue):
                wait = FIRST_POLL_SECONDS
            elif batches.open:
                await run.pause(min(wait, run.settings.poll_seconds))
                wait *= 2


async def withdraw_batches(run: Run) -> None:
    """Cancel the batches that are under way, and keep the replies they have got so far."""
    batches = Batches(run, {})
    if not batches.open:
        return
    async with run.connection:
        await batches.recover()
        run.say(f"{len(batches.open)} batches are under way: cancelling them; the replies they have got are kept")
        await batches.cancel()
        while batches.open and not run.stopped_by:
            if not await batches.collect(deque()):
                await run.pause(min(FIRST_POLL_SECONDS, run.settings.poll_seconds))
