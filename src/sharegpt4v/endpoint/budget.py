"""The limit for paid endpoints: what replies cost, what they can cost at most, and whether one more is allowed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

from sharegpt4v.config.endpoint import Budget
from sharegpt4v.endpoint.request import AnyRequest

FRAME_TOKENS = 64  # of a chat's frame: roles and marks of two messages, and what the reply begins with
UNITS = 10**12  # per US dollar: sums of whole numbers do not drift


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
    """What has been spent, and what the requests under way may cost at most; both together stay below the limit.

    The Batch API bills `batch_factor` of the budget's prices.
    """

    def __init__(self, budget: Budget | None, batch_factor: float) -> None:
        self.budget, self.batch_factor = budget, batch_factor
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
        """Return the US dollars of a record by its tokens and whether it has a `batch`; nothing without a budget."""
        if self.budget is None:
            return 0.0
        usd = self.budget.usd(record["prompt_tokens"], record["completion_tokens"])
        return usd * self.batch_factor if "batch" in record else usd

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
