"""The brake for paid endpoints: what replies cost, what they can cost at most, and whether one more is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sharegpt4v.teacher.request import AnyRequest

CHARACTERS_PER_TOKEN = 3  # English has 4 to 5, so this is on the safe side
TOKENS_AROUND = 20  # of a message's frame


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
        """Return the US dollars of one reply from its `prompt_tokens`, `completion_tokens` and `batch`."""
        return self.usd(record["prompt_tokens"], record["completion_tokens"], "batch" in record)


class Tokens:
    """How many tokens a request will take: an estimate before it is sent, which the replies correct."""

    def __init__(self, image_tokens: int, max_tokens: int) -> None:
        self.image_tokens, self.max_tokens = image_tokens, max_tokens
        self._largest_prompt = 0
        self._estimated = self._taken = 0.0

    def prompt(self, request: AnyRequest) -> int:
        """Return the prompt's tokens at most: by its length and its image, and not less than any reply has told of."""
        images = self.image_tokens if request.has_image else 0
        estimate = images + request.characters // CHARACTERS_PER_TOKEN + TOKENS_AROUND
        return max(estimate, self._largest_prompt)

    def expected(self, prompt_tokens: int) -> float:
        """Return the tokens of prompt and reply to count on: the most there can be, times the share replies took."""
        return (prompt_tokens + self.max_tokens) * (self._taken / self._estimated if self._estimated else 1.0)

    def saw(self, record: Mapping[str, Any]) -> None:
        """Take in how long a prompt really was, by the reply to it."""
        self._largest_prompt = max(self._largest_prompt, record["prompt_tokens"])

    def learn(self, prompt_tokens: int, record: Mapping[str, Any]) -> None:
        """Take in what the reply to a request of estimated `prompt_tokens` really took."""
        self.saw(record)
        if record["prompt_tokens"]:
            self._estimated += prompt_tokens + self.max_tokens
            self._taken += record["prompt_tokens"] + record["completion_tokens"]


class Purse:
    """What has been spent, and what the requests under way may cost at most; both together stay below the limit."""

    def __init__(self, budget: Budget | None) -> None:
        self.budget = budget
        self.spent = 0.0
        self._promised: dict[int, float] = {}  # by a number, since a running sum of floats drifts
        self._promises = 0
        self._settled = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def allows(self, usd: float) -> bool:
        """Say whether so much more may be spent without passing the limit."""
        return self.budget is None or self.spent + sum(self._promised.values()) + usd <= self.budget.limit_usd

    def promise(self, usd: float) -> int:
        """Set money aside; return a number for `settle`."""
        self._promises += 1
        self._promised[self._promises] = usd
        return self._promises

    async def promise_if_allowed(self, usd: float) -> int | None:
        """As `promise`, but None when it is more than is left, for sure: requests under way may turn out cheaper than
        they could have been, and are waited for."""
        async with self._one_at_a_time:
            while not self.allows(usd):
                if not self._promised:
                    return None
                self._settled.clear()
                await self._settled.wait()
            return self.promise(usd)

    def settle(self, promise: int, usd: float = 0.0) -> None:
        """Spend `usd` of the money set aside under the number, and give back the rest."""
        del self._promised[promise]
        self.spent += usd
        self._settled.set()

    def most(self, prompt_tokens: int, completion_tokens: int, batch: bool = False) -> float:
        """Return what so many tokens cost; nothing without a budget."""
        return self.budget.usd(prompt_tokens, completion_tokens, batch) if self.budget else 0.0

    def cost(self, record: Mapping[str, Any]) -> float:
        """Return what a reply cost; nothing without a budget."""
        return self.budget.cost(record) if self.budget else 0.0

    def note(self) -> str:
        """Say in a few words what has been spent."""
        return f"{self.spent:.2f} USD so far" if self.budget else ""

    def empty(self) -> str:
        """Say why no more is asked for."""
        assert self.budget
        return (
            f"{self.spent:.2f} USD spent, and one more request could pass the budget of "
            f"{self.budget.limit_usd:.2f} USD; raise it to go on"
        )
