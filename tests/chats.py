"""Settings for asking an endpoint in tests, keys of the config's section and of the client in one call; its counts."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from sharegpt4v.config.endpoint import Budget, Endpoint
from sharegpt4v.endpoint.settings import ChatSettings


def chat_settings(url: str, model: str, **keys: Any) -> ChatSettings:
    """Return settings for an endpoint without a key, whose section has those of `keys` that sections have."""
    section = {"api_key_variable": None} | {key: keys.pop(key) for key in [*keys] if key in Endpoint.model_fields}
    # The verbs, too, put the address in like this: where the synthetic world's endpoint listens is known late.
    endpoint = Endpoint(base_url="mini", model=model, **section).model_copy(update={"base_url": url})
    return ChatSettings(endpoint, **keys)


def budget_of(limit_usd: float, prompt_usd_per_million: float, completion_usd_per_million: float) -> Budget:
    """Return a budget."""
    return Budget(
        limit_usd=limit_usd,
        prompt_usd_per_million=prompt_usd_per_million,
        completion_usd_per_million=completion_usd_per_million,
    )


def counts(url: str) -> dict[str, int]:
    """What the server says it received and answered."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/health") as reply:
        received: dict[str, int] = json.load(reply)
    return received
