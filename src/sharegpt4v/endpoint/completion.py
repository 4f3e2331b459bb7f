"""What a chat completion must be like to be used, and the record that is kept of it.

Every field is checked by its type before anything looks at it. What is no such completion is no reply: it is kept as it
came, charged what it could cost at most, and asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from annotated_types import Len, MaxLen
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sharegpt4v.endpoint.connection import Connection
from sharegpt4v.endpoint.failure import GOOD, Failure, RequestFailed, compact
from sharegpt4v.endpoint.settings import ChatSettings

MOST_PARTS = 1000  # of a list; one part and one choice are what is asked for
LONGEST_NAME = 200  # characters of a model's name or a finish reason


class Part(BaseModel):
    """What the protocol says of a part of an answer. Types are not converted; unknown keys are left out."""

    model_config = ConfigDict(strict=True, frozen=True)


class TextPart(Part):
    """A part of a content that is a list."""

    type: Literal["text"]
    text: str


class Message(Part):
    """What the model says: text, parts of text, or nothing, as where it refuses."""

    content: str | Annotated[list[TextPart], MaxLen(MOST_PARTS)] | None
    refusal: str | None = None


class Choice(Part):
    """One of the answers; only the first is asked for."""

    message: Message
    finish_reason: str | None = None


class Completion(Part):
    """An answer to a chat request."""

    choices: Annotated[list[Choice], Len(1, MOST_PARTS)]
    model: str | None = None


class Usage(Part):
    """What the endpoint bills. A prompt has tokens."""

    prompt_tokens: int = Field(ge=1)
    completion_tokens: int = Field(ge=0)


@dataclass(frozen=True)
class Bound:
    """The most tokens that a request can be billed for."""

    prompt_tokens: int
    completion_tokens: int


def record_of(about: Mapping[str, Any], settings: ChatSettings, attempts: int) -> dict[str, Any]:
    """Return the part of a record that does not depend on the answer; `about` is what the request says of itself."""
    return {
        **about,
        "model": settings.endpoint.model,
        "answered_by": None,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "attempts": attempts,
    }


def refusal(failure: Failure) -> dict[str, Any]:
    """Return the part of a record that says that the endpoint's content policy forbids an answer."""
    return {"text": failure.reason, "finish_reason": "content_filter"}


def answer_of(body: bytes, bound: Bound, connection: Connection) -> dict[str, Any]:
    """Return the part of a record that comes from the answer; `RequestFailed` where it is no chat completion."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _unusable("it is not JSON", connection.kept(body), connection) from None
    return answer_in(value, bound, connection)


def answer_in(value: Any, bound: Bound, connection: Connection) -> dict[str, Any]:
    """As `answer_of`, for an answer that is read already."""
    try:
        completion = Completion.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _unusable(f"{place}: {first['msg']}", connection.kept(compact(value).encode()), connection) from None
    choice = completion.choices[0]
    content, refused = choice.message.content, choice.message.refusal
    text = "".join(part.text for part in content) if isinstance(content, list) else content
    return {
        "answered_by": completion.model and connection.redacted(completion.model)[:LONGEST_NAME],
        "text": connection.redacted(text or refused or ""),
        "finish_reason": "content_filter"
        if refused
        else choice.finish_reason and connection.redacted(choice.finish_reason)[:LONGEST_NAME],
        **usage_in(value, bound, bool(text or refused)),
    }


def usage_in(value: Mapping[str, Any], bound: Bound, has_text: bool) -> dict[str, Any]:
    """Return the tokens that the endpoint bills; where it says nothing that can be, the most, and why."""
    told = value.get("usage")
    try:
        usage = Usage.model_validate(told)
    except ValidationError:
        why = "usage missing" if told is None else "usage not as in the protocol"
    else:
        possible = usage.prompt_tokens <= bound.prompt_tokens and usage.completion_tokens <= bound.completion_tokens
        if possible and (usage.completion_tokens or not has_text):
            return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
        why = "usage cannot be true"
    return {
        "prompt_tokens": bound.prompt_tokens,
        "completion_tokens": bound.completion_tokens,
        "charged_as": f"the most: {why}",
    }


def _unusable(why: str, raw: str, connection: Connection) -> RequestFailed:
    message = connection.one_line(
        f"the answer is not a chat completion ({why}); check that base_url ends where /chat/completions begins"
    )
    return RequestFailed(Failure(GOOD, "", message, charged=True, raw=raw))
