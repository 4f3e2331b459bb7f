"""The replies of an endpoint as they come, for a caller that is no coroutine: a generation engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any

from sharegpt4v.endpoint.client import ask
from sharegpt4v.endpoint.request import AnyRequest
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.ledger import Ledger

Reply = Mapping[str, Any]


def stream_replies(
    requests: Sequence[AnyRequest], settings: ChatSettings, ledger: Ledger, title: str, noun: str
) -> Iterator[tuple[str, Reply | str]]:
    """Ask as `client.ask` does; yield the key and the record of every reply, or the reason why there is none.

    Those that the ledger holds already come first, each other one as soon as it is on disk, and the reasons at the end.
    What `ask` raises is raised here, after the replies that came. Whoever takes no more withdraws all that is asked.
    """
    keys = {settings.key(request) for request in requests}
    yield from ((key, ledger[key]) for key in keys if key in ledger)
    found = SimpleQueue[tuple[str, Reply] | BaseException | dict[str, str]]()
    loop = asyncio.new_event_loop()

    def ask_all() -> None:
        async def asking() -> dict[str, str]:
            return await ask(
                requests, settings, ledger, title=title, noun=noun, kept=lambda key, record: found.put((key, record))
            )

        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            try:
                found.put(runner.run(asking()))
            except BaseException as error:
                found.put(error)

    thread = Thread(target=ask_all, daemon=True)
    thread.start()
    try:
        while isinstance(reply := found.get(), tuple):
            yield reply
    except BaseException:  # also GeneratorExit
        loop.call_soon_threadsafe(_cancel_all, loop)
        thread.join()
        raise
    thread.join()
    if isinstance(reply, BaseException):
        raise reply
    yield from reply.items()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
