"""Any model behind an OpenAI-compatible address: captions and answers are asked of it as seed captions are.

By the same client, with its pace, its budget and its ledger: a reply is on disk the moment it exists, so that a killed
run asks only for what is missing and pays for nothing twice.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from PIL import Image

from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.generation import Generation
from sharegpt4v.endpoint.request import Skipped, bytes_of, image_mime, prompt_hash
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.endpoint.stream import stream_replies
from sharegpt4v.errors import UserError, one_line
from sharegpt4v.generation.engine import Answer, Engine, Request, plain
from sharegpt4v.images.loading import is_turned, open_rgb
from sharegpt4v.ledger import Ledger

REPLIES = "replies.jsonl"
IMAGE_TOKENS = 1_000  # where no budget counts them: they only set the pace
NO_ANSWER = {"content_filter": "the endpoint's content policy forbids an answer"}


@dataclass(frozen=True)
class Question:
    """A request as the client takes it; `engine` says how its image is sent, `place` tells it from others."""

    place: int
    request: Request
    engine: EndpointEngine

    @property
    def name(self) -> str:
        image = self.request.image
        return str(image) if isinstance(image, Path) else self.request.question[:80]

    @cached_property
    def identity(self) -> tuple[Any, ...]:
        asked = self.request
        return asked.question, asked.system, self.sha256, asked.image_aspect_ratio, asked.upright

    @cached_property
    def sha256(self) -> str | None:
        """Of the image file; None without an image, or where it cannot be read, which is said when it is asked."""
        image = self.request.image
        if image is None:
            return None
        try:
            return hashlib.sha256(image if isinstance(image, bytes) else image.read_bytes()).hexdigest()
        except OSError:
            return None

    @property
    def text_bytes(self) -> int:
        return bytes_of(self.request.question) + bytes_of(self.request.system or "")

    @property
    def has_image(self) -> bool:
        return self.request.image is not None

    def about(self) -> dict[str, Any]:
        """Return the image's content and the question's hash."""
        return {"image_sha256": self.sha256, "prompt_hash": prompt_hash(self.request.question)}

    def messages(self, detail: str) -> list[dict[str, Any]]:
        """Return the system turn, if there is one, and the user turn: the image, then the question."""
        asked = self.request
        system = [] if asked.system is None else [{"role": "system", "content": asked.system}]
        content: list[dict[str, Any]] = [{"type": "text", "text": asked.question}]
        if asked.image is not None:
            content.insert(0, {"type": "image_url", "image_url": {"url": self.engine.image_url(self)}})
        return [*system, {"role": "user", "content": content}]


class EndpointEngine(Engine):
    """A model at an address."""

    def __init__(self, endpoint: Endpoint, work: Path) -> None:
        """`work` is the folder that keeps the replies."""
        budget = endpoint.budget
        if budget and budget.image_tokens is None:
            raise UserError(
                "endpoint.budget.image_tokens is missing: the most tokens of one image, by the endpoint's documentation"
            )
        self.settings = ChatSettings(
            endpoint, temperature=0.0, image_tokens=(budget.image_tokens if budget else None) or IMAGE_TOKENS
        )
        self.work = work

    @classmethod
    def start(cls, model: Path | None, settings: Generation, work: Path) -> Self:
        """Take what `settings.endpoint` says; there is nothing to start."""
        if settings.endpoint is None:
            raise UserError("engine 'endpoint' needs an address and the name of a model: --base-url and --model")
        return cls(settings.endpoint, work)

    @classmethod
    def about(cls, settings: Generation) -> dict[str, Any]:
        """The address and the name of the model: what is behind them, only the endpoint knows."""
        assert settings.endpoint is not None
        return {"engine": settings.engine, "base_url": settings.endpoint.base_url, "model": settings.endpoint.model}

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Ask for all, those with one limit together; equal ones are asked once."""
        limits = sorted({request.max_new_tokens for request in requests}, reverse=True)
        self.work.mkdir(parents=True, exist_ok=True)
        with Ledger(self.work / REPLIES) as ledger:
            for limit in limits:
                settings = replace(self.settings, max_tokens=limit)
                asked: dict[str, list[Question]] = {}
                for place, request in enumerate(requests):
                    if request.max_new_tokens == limit:
                        question = Question(place, request, self)
                        asked.setdefault(settings.key(question), []).append(question)
                questions = [same[0] for same in asked.values()]
                for key, reply in self.replies(questions, settings, ledger):
                    for question in asked[key]:
                        yield question.place, _answer(reply)

    def replies(
        self, questions: Sequence[Question], settings: ChatSettings, ledger: Ledger
    ) -> Iterator[tuple[str, Any]]:
        """Yield key and record of every reply, or the reason why there is none."""
        return stream_replies(questions, settings, ledger, "answers", "questions")

    def image_url(self, question: Question) -> str:
        """Return the image as a data URL: the file's bytes, unless it is to be turned or in a format that few take."""
        request = question.request
        assert request.image is not None
        try:
            data = request.image if isinstance(request.image, bytes) else request.image.read_bytes()
            if image_mime(data) is None or (request.upright and is_turned(data)):
                data = png(open_rgb(data, request.upright))
        except Exception as error:  # whatever Pillow raises
            raise Skipped(f"the image cannot be decoded ({one_line(error)})") from None
        return f"data:{image_mime(data)};base64,{base64.b64encode(data).decode()}"


def png(image: Image.Image) -> bytes:
    """Return the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _answer(reply: Any) -> Answer:
    """Return what a record, or the reason for none, is as an answer."""
    if isinstance(reply, str):
        return Answer("", "stop", reply)
    ended = reply["finish_reason"] or "stop"
    if ended in NO_ANSWER:
        return Answer("", "stop", f"{NO_ANSWER[ended]} ({reply['text']})")
    return Answer(plain(reply["text"]), ended)


ENGINE = EndpointEngine
