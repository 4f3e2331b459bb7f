"""How the teacher or the judge is asked: where, for what, and how hard it may be pressed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from sharegpt4v.endpoint.budget import Budget
from sharegpt4v.endpoint.pacing import LONGEST_WAIT
from sharegpt4v.endpoint.request import AnyRequest
from sharegpt4v.ledger import key_of


@dataclass
class LengthParameter:
    """The name under which the endpoint takes the longest reply; what it says when it refuses one decides."""

    name: str = "max_tokens"


@dataclass(frozen=True)
class TeacherSettings:
    """How to reach the teacher, what to ask it for, and how hard to press. The key itself is never held here."""

    base_url: str
    model: str
    api_key_variable: str | None = "OPENAI_API_KEY"  # None: the endpoint wants no key
    temperature: float | None = None  # None: the endpoint's own default
    max_tokens: int = 1024
    image_detail: str = "high"  # high, low or auto
    concurrency: int = 8
    requests_per_minute: float | None = None
    timeout_seconds: float = 120.0  # of a request, from its first byte to the last one of its answer
    longest_wait_seconds: float = LONGEST_WAIT  # of those that the endpoint asks for
    attempts: int = 6
    back_off_seconds: float = 1.0
    tokens_per_minute: float | None = None
    image_tokens: int = 0  # what one image can cost at most
    budget: Budget | None = None  # None: no limit
    mode: str = "direct"  # or "batch": OpenAI's Batch API
    batch_requests: int = 50_000  # of one file of the Batch API, at most
    batch_bytes: int = 200_000_000
    poll_seconds: float = 60.0  # between looks at batches; the first come sooner
    # Shared by all copies of the settings, so that what is learnt holds for all that is asked in a run.
    length_parameter: LengthParameter = field(default_factory=LengthParameter, compare=False)

    def key(self, request: AnyRequest) -> str:
        """Return the ledger's key of a request: what is asked, the model and what shapes the reply."""
        return key_of(*request.identity, self.model, self._shape)

    @cached_property
    def _shape(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in ("temperature", "max_tokens", "image_detail")}

    def chat(self, request: AnyRequest) -> dict[str, object]:
        """Return the body of a chat request; `Skipped` when its image cannot be sent."""
        heat = {} if self.temperature is None else {"temperature": self.temperature}
        messages = request.messages(self.image_detail)
        return {"model": self.model, "messages": messages, self.length_parameter.name: self.max_tokens, **heat}
