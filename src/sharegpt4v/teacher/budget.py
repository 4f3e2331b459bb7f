"""The brake for paid endpoints: what the replies cost, and when to stop asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Budget:
    """A limit in US dollars, and prices in US dollars per million tokens (`None`: no limit)."""

    limit_usd: float | None
    prompt_usd_per_million: float
    completion_usd_per_million: float

    def cost(self, record: Mapping[str, Any]) -> float:
        """Return the US dollars of one reply from its `prompt_tokens` and `completion_tokens`."""
        prompt: int = record["prompt_tokens"]
        completion: int = record["completion_tokens"]
        return (prompt * self.prompt_usd_per_million + completion * self.completion_usd_per_million) / 1e6

    def exhausted(self, spent_usd: float) -> bool:
        """Say whether no further request may be sent. Replies under way when it is reached still cost money."""
        return self.limit_usd is not None and spent_usd >= self.limit_usd
