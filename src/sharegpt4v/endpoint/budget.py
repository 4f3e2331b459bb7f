"""The limit for paid endpoints: what replies cost, what they can cost at most, and whether one more is allowed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sharegpt4v.endpoint.request import AnyRequest

FRAME_TOKENS = 64  # of a chat's frame: roles and marks of two messages, and what the reply begins with
UNITS = 10**12  # per US dollar: sums of whole numbers do not drift


@dataclass(frozen=True)
class Budget:
    """A limit in US dollars, and prices in US dollars per million tokens; `batch_factor` is the Batch API's share."""

    limit_usd: float
    prompt_usd_per_million: float
    completion_usd_per_million: float
    batch_factor: float = 1.0

    def usd(self, prompt_tokens: float, completion_tokens: float, batch: bool) -> float:
        """Return what so many tokens cost."""
        usd = (prompt_tokens * self.prompt_usd_per_million + completion_tokens * self.completion_usd_per_million) / 1e6
        return usd * self.batch_factor if batch else usd

    def cost(self, record: Mapping[str, Any]) -> float:
        """Return the US dollars of one record from its `prompt_tokens`, `completion_tokens` and `batch`."""
        return self.usd(record["prompt_tokens"], record["completion_tokens"], "batch" in record)


def prompt_bound(request: AnyRequest, image_tokens: int) -> int:
    """Return the most tokens that a prompt can have, when an image takes `image_tokens` at most.

    A tokenizer over bytes, as all current models of OpenAI have one, or one that falls back to bytes, as Llama's, makes
    no more than one token of a byte of UTF-8.
    """
    return request.text_bytes + FRAME_TOKENS + (image_tokens if request.has_image else 0)


class Forecast:
    """How many tokens a request is expected to take, by its bound and what earlier replies took of theirs."""

    def __init__(self) -> None:
        self._bounds = self._taken = 0.0

    def expected(self, bound: float) -> float:
        """Return the tokens to count on for a request that can take `bound` at most."""
        return bound * (self._taken / self._bounds if self._bounds else 1.0)

    def learn(self, bound: float, taken: float) -> None:
        """Take in what a request really took."""
        self._bounds += bound
        self._taken += taken


class BudgetGuard:
    """What has been spent, and what the requests under way may cost at most; both together stay below the limit."""

    def __init__(self, budget: Budget | None) -> None:
        self.budget = budget
        self._spent = self._reserved_units = 0
        self._reserved: dict[str, int] = {}
        self._settled = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    @property
    def spent(self) -> float:
        """US dollars."""
        return self._spent / UNITS

    def allows(self, usd: float) -> bool:
        """Say whether so much more may be spent without passing the limit."""
        if self.budget is None:
            return True
        return self._spent + self._reserved_units + _units(usd) <= math.floor(self.budget.limit_usd * UNITS)

    def reserve(self, name: str, usd: float) -> None:
        """Set money aside, whether the limit allows it or not."""
        self._reserved[name] = _units(usd)
        self._reserved_units += _units(usd)

    async def reserve_if_allowed(self, name: str, usd: float) -> bool:
        """As `reserve`, or return False when it is more than is left for sure: requests under way may turn out cheaper
        than they could have been, and are waited for."""
        async with self._one_at_a_time:
            while not self.allows(usd):
                if not self._reserved:
                    return False
                self._settled.clear()
                await self._settled.wait()
            self.reserve(name, usd)
            return True

    def commit(self, name: str, usd: float) -> None:
        """Spend `usd` of the money set aside under the name, and give back the rest."""
        self.release(name)
        self.spend(usd)

    def release(self, name: str) -> None:
        """Give back the money set aside under the name, if there is any."""
        self._reserved_units -= self._reserved.pop(name, 0)
        self._settled.set()

    def spend(self, usd: float) -> None:
        """Count money that was spent earlier."""
        self._spent += _units(usd)

    def cost(self, record: Mapping[str, Any]) -> float:
        """Return what a record cost; nothing without a budget."""
        return self.budget.cost(record) if self.budget else 0.0

    def note(self) -> str:
        """Say in a few words what has been spent."""
        return f"{self.spent:.2f} USD so far" if self.budget else ""

    def exhausted(self) -> str:
        """Say why no more is asked for."""
        assert self.budget
        return (
            f"{self.spent:.2f} USD spent, and one more request could pass the budget of "
            f"{self.budget.limit_usd:.2f} USD; raise it to continue"
        )


def _units(usd: float) -> int:
    return math.ceil(usd * UNITS)
