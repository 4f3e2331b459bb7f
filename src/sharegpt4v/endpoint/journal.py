"""A ledger that many tasks write at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.ledger import Ledger

Records = Sequence[tuple[str, dict[str, Any]]]  # keys and records


class _Group:
    """Records that go to the disk together; `error` says why they did not."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []
        self.error: UserError | None = None


class Journal:
    """Waits for the disk in a thread, which leaves the loop free for replies.

    What comes meanwhile is written together, so that the disk is waited for less often than there are records.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._next = _Group()
        self._writing = asyncio.Lock()

    async def write(self, records: Records) -> None:
        """Return when the records are on disk; a `UserError` when they could not be written."""
        group = self._next
        group.records += records
        async with self._writing:
            if group is self._next:
                self._next = _Group()
                try:
                    await asyncio.to_thread(self.ledger.extend, group.records)
                except UserError as error:
                    group.error = error
        if group.error:
            raise UserError(str(group.error))
