"""How an endpoint is asked: its section of the config as it is, and what the question at hand needs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.endpoint.request import AnyRequest
from sharegpt4v.ledger import key_of


@dataclass
class LengthParameter:
    """The name under which the endpoint takes the longest reply; what it says when it refuses one decides."""

    name: str = "max_tokens"


@dataclass(frozen=True)
class ChatSettings:
    """An endpoint, and what its replies are to be like. The key itself is never held here."""

    endpoint: Endpoint
    temperature: float | None = None  # None: the endpoint's own default
    max_tokens: int = 1024
    image_detail: str = "high"  # high, low or auto
    mode: str = "direct"  # or "batch": OpenAI's Batch API
    image_tokens: int = 0  # what one image can cost at most
    batch_factor: float = 1.0  # of the prices, by the Batch API
    back_off_seconds: float = 1.0
    batch_requests: int = 50_000  # of one file of the Batch API, at most
    batch_bytes: int = 200_000_000
    poll_seconds: float = 60.0  # between looks at batches; the first come sooner
    costs_nothing: bool = False  # of a server that this job has started: no request needs a reservation
    extra: Mapping[str, Any] = field(default_factory=dict)  # more of the body, as some endpoints take it
    # Shared by all copies of the settings, so that what is learnt holds for all that is asked in a run.
    length_parameter: LengthParameter = field(default_factory=LengthParameter, compare=False)

    def key(self, request: AnyRequest) -> str:
        """Return the ledger's key of a request: what is asked, the model and what shapes the reply."""
        return key_of(*request.identity, self.endpoint.model, self._shape)

    @cached_property
    def _shape(self) -> dict[str, object]:
        shape = {name: getattr(self, name) for name in ("temperature", "max_tokens", "image_detail")}
        return shape | ({"extra": dict(self.extra)} if self.extra else {})

    def chat(self, request: AnyRequest) -> dict[str, object]:
        """Return the body of a chat request; `Skipped` when its image cannot be sent."""
        heat = {} if self.temperature is None else {"temperature": self.temperature}
        messages = request.messages(self.image_detail)
        body = {"model": self.endpoint.model, "messages": messages, self.length_parameter.name: self.max_tokens}
        return body | heat | dict(self.extra)
