"""What a run may spend: every request is on disk with the most that it can cost before it is sent.

The file `<ledger>.reservations.jsonl` has a line for each request that was sent, under a name of its own, with the
tokens that it can be billed for at most. Then one of three things happens:

    a usable reply comes     its record in the ledger names the reservation, and counts in its place
    the endpoint refuses it  a second line under the name says so, with no tokens
    anything else            the reservation counts: a time-out, a broken connection, an answer that cannot be used (a
                             second line keeps it), a process that is killed

A server that this job has started bills nothing: where the settings say so, requests go without a first line.

So after a kill the requests that were under way cost what they could at most, which is the most that the endpoint can
bill for them; nothing else is added.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sharegpt4v.endpoint.budget import BudgetGuard
from sharegpt4v.endpoint.completion import Bound
from sharegpt4v.endpoint.failure import Failure
from sharegpt4v.endpoint.journal import Journal
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.ledger import Ledger

Record = dict[str, Any]
TOO_MANY = 10**8  # tokens of one request


@dataclass(frozen=True)
class Reservation:
    """The name of one request that is sent, the ledger's key of what it asks, and the most that it can be billed."""

    name: str
    key: str
    bound: Bound


def reservations_path(replies: Path) -> Path:
    """Return the file of reservations that belongs to a ledger of replies."""
    return replies.with_suffix(".reservations.jsonl")


def billed(replies: Iterable[Record], reservations: Iterable[Record], most: Bound) -> Iterator[Record]:
    """Yield all records that count: the replies, and the reservations of requests without one.

    Earlier versions kept whatever an endpoint said of tokens: where that cannot be, the record counts with `most`.
    """
    replied = set()
    for record in replies:
        replied.add(record.get("reservation"))
        tokens = record.get("prompt_tokens"), record.get("completion_tokens")
        possible = all(type(one) is int and 0 <= one < TOO_MANY for one in tokens)
        yield record if possible else record | asdict(most)
    yield from (record for record in reservations if record["key"] not in replied)


class Account:
    """The budget of a run and its file of reservations."""

    def __init__(self, settings: ChatSettings, replies: Ledger) -> None:
        self.guard = BudgetGuard(settings.endpoint.budget, settings.batch_factor)
        self.model, self.costs_nothing = settings.endpoint.model, settings.costs_nothing
        self._replies = replies
        self._ledger = Ledger(reservations_path(replies.path))
        self._journal = Journal(self._ledger)
        self._run, self._count = uuid.uuid4().hex[:12], 0

    def close(self) -> None:
        """Close the file."""
        self._ledger.close()

    def count_earlier(self, most: Bound) -> int:
        """Count what earlier runs spent; return how many of their requests have no known outcome. `most` as above."""
        unknown = 0
        for record in billed(self._replies.records(), self._ledger.records(), most):
            self.guard.spend(self.guard.cost(record))
            unknown += "request" in record and "outcome" not in record
        return unknown

    async def reserve(self, key: str, bound: Bound) -> Reservation | None:
        """Set aside what a request may cost; None when the budget does not allow it."""
        self._count += 1
        reservation = Reservation(f"{self._run}-{self._count}", key, bound)
        usd = self.guard.cost(asdict(bound))
        return reservation if await self.guard.reserve_if_allowed(reservation.name, usd) else None

    def cancel(self, reservation: Reservation) -> None:
        """Give back what was set aside for a request that was not sent."""
        self.guard.release(reservation.name)

    async def write(self, reservation: Reservation) -> None:
        """Put a reservation on disk; then the request may be sent."""
        if self.costs_nothing:
            return
        await self._journal.write([(reservation.name, {"request": reservation.key, **self._line(reservation.bound)})])

    async def fail(self, reservation: Reservation, failure: Failure) -> None:
        """Settle a request without a usable reply: at no cost where the endpoint refused it, else at the most."""
        line = self._failed(reservation.key, failure, reservation.bound)
        self.guard.commit(reservation.name, self.guard.cost(line))
        await self._journal.write([(reservation.name, line)])

    def commit(self, reservation: Reservation, record: Mapping[str, Any]) -> None:
        """Spend what a reply costs whose record is on disk."""
        self.guard.commit(reservation.name, self.guard.cost(record))

    def give_up(self, reservation: Reservation) -> None:
        """Spend the most that a request can cost whose outcome cannot be written; the disk says so already."""
        self.guard.commit(reservation.name, self.guard.cost(self._line(reservation.bound)))

    def allows_batch(self, bound: Bound) -> bool:
        """Say whether a batch may be submitted whose requests can be billed for so much together."""
        return self.guard.allows(self.guard.cost(self._line(bound) | {"batch": ""}))

    def reserve_batch(self, name: str, bound: Bound) -> None:
        """Set aside what a batch may cost; on disk its own state says so."""
        self.guard.reserve(name, self.guard.cost(self._line(bound) | {"batch": ""}))

    async def fail_batch(self, name: str, batch: str, failures: Mapping[str, Failure], bound: Bound) -> float:
        """Write a line for each request of a batch that has no usable reply, but counts; return what they cost."""
        lines = [
            (f"{name}-{key}", self._failed(key, failure, bound) | {"batch": batch})
            for key, failure in failures.items()
            if failure.charged
        ]
        await self._journal.write(lines)
        return sum(self.guard.cost(line) for _, line in lines)

    def _failed(self, key: str, failure: Failure, bound: Bound) -> Record:
        line = {"request": key, **self._line(bound if failure.charged else Bound(0, 0)), "outcome": failure.reason}
        return line if failure.raw is None else line | {"answer": failure.raw}

    def _line(self, bound: Bound) -> Record:
        return {"model": self.model, **asdict(bound), "time": datetime.now(UTC).isoformat(timespec="seconds")}
