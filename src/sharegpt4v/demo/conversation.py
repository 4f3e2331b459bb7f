"""A conversation in the OpenAI protocol, as the one request that the template of a model's family makes of it.

The image belongs to the first question, as in the rows that models are trained on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Request
from sharegpt4v.models.family import Family

MOST_TURNS = 200
NEW_TOKENS = 512  # where a request names no limit


@dataclass(frozen=True)
class Conversation:
    """Rounds of questions and answers, about an image (a file's bytes) or none, and the question that is open.

    `system` is what it begins with, None for what the model was trained with. At most `max_new_tokens` are answered.
    """

    rounds: Sequence[tuple[str, str]]
    question: str
    image: bytes | None
    system: str | None = None
    max_new_tokens: int = NEW_TOKENS

    def request(self, family: Family, marks: Sequence[str], image_aspect_ratio: str) -> Request:
        """Return the request that holds all of it, as the family's template has it.

        A `UserError` for a text with one of `marks`, the special tokens: it would be read as one.
        """
        texts = [self.system or "", self.question, *(text for one in self.rounds for text in one)]
        if found := [mark for mark in marks if any(mark in text for text in texts)]:
            raise UserError(f"a text holds {found[0]}, which the model reads as a mark; expected texts without it")
        question = family.later_question(self.rounds, self.question)
        return Request(question, self.image, self.max_new_tokens, image_aspect_ratio, True, self.system)


class _Text(BaseModel):
    type: Literal["text"]
    text: str


class _Address(BaseModel):
    url: str


class _Image(BaseModel):
    type: Literal["image_url"]
    image_url: _Address


class _Message(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: str | list[Annotated[_Text | _Image, Field(discriminator="type")]]

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, _Text))

    @property
    def images(self) -> list[str]:
        return [] if isinstance(self.content, str) else [p.image_url.url for p in self.content if isinstance(p, _Image)]


class _Body(BaseModel):
    messages: list[_Message] = Field(min_length=1, max_length=MOST_TURNS)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)


def read_conversation(body: Any) -> Conversation:
    """Read the body of a chat completion request; what decides on sampling is left out, as answers are greedy.

    A `UserError` for one that is none, for an image that is no data URL, and for one that comes after the first
    question.
    """
    try:
        asked = _Body.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        raise UserError(f"{place}: {first['msg']}; expected a chat completion request") from None
    limit = asked.max_completion_tokens or asked.max_tokens or NEW_TOKENS
    turns = asked.messages
    system = turns[0].text if turns[0].role == "system" else None
    turns = turns[1:] if system is not None else turns
    wanted = ["user", "assistant"] * len(turns)
    if len(turns) % 2 == 0 or any(turn.role != role for turn, role in zip(turns, wanted, strict=False)):
        raise UserError("messages: expected turns of user and assistant, one after the other, the last of the user")
    if any(turn.images for turn in turns[1:]):
        raise UserError("an image after the first question; expected it with the first: start a new conversation")
    images = turns[0].images
    if len(images) > 1:
        raise UserError(f"{len(images)} images; expected one")
    texts = [turn.text for turn in turns]
    rounds = list(zip(texts[:-1:2], texts[1::2], strict=True))
    return Conversation(rounds, texts[-1], _bytes_of(images[0]) if images else None, system, limit)


def _bytes_of(url: str) -> bytes:
    """Return the content of a data URL; any other address is refused, as nothing is fetched."""
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise UserError("an image is no data URL; expected one in base64, as addresses are not fetched")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise UserError("the data URL of an image is not base64; expected the bytes of an image file") from None
