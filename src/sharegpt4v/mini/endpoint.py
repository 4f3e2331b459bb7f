"""A small OpenAI-compatible server on loopback: the teacher and the judge of the mini preset.

It speaks the part of the protocol that the clients of this package use, `POST /v1/chat/completions` (with or without
an image as data URL), `GET /v1/models` and the Batch API, plus `GET /health`, which tells how many requests it has
answered. What it answers is a function given by the caller. Faults can be injected, so that tests see how the clients
meet them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

from sharegpt4v.loopback import served, server_of
from sharegpt4v.mini.endpoint_batches import BatchDesk
from sharegpt4v.mini.endpoint_faults import MAX_TOKENS_REFUSED, BatchFaults, Fault, response

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.responses import Response

Answer = Callable[[bytes | None, str], str]  # image bytes (None without an image), prompt text → reply


Faults = Callable[[int, bytes | None, str], Fault | None]  # number of the request from 1, image bytes, prompt text


@contextmanager
def serve(
    answer: Answer,
    faults: Faults | None = None,
    model: str = "mini",
    batch_faults: BatchFaults | None = None,
    refuses_max_tokens: bool = False,
) -> Iterator[str]:
    """Serve in a thread on a free port of 127.0.0.1; yield the base URL, `http://127.0.0.1:<port>/v1`.

    `answer` runs in the server's own thread, one request at a time: it should be quick. `refuses_max_tokens`, as newer
    models of OpenAI do. When the block ends, the server stops taking requests and its thread ends.
    """
    app = application(answer, faults, model, batch_faults, refuses_max_tokens)
    with served(server_of(app, keep_alive_seconds=60, log_level="critical"), "mini endpoint") as address:
        yield f"{address}/v1"


def application(
    answer: Answer, faults: Faults | None, model: str, batch_faults: BatchFaults | None, refuses_max_tokens: bool
) -> Starlette:
    """Return the server as an ASGI application."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.routing import Route

    received = served = 0

    async def reply(body: Any) -> tuple[Fault, dict[str, Any]]:
        """Return what goes wrong with a chat request, and the answer if nothing does."""
        nonlocal received, served
        try:
            image, prompt = read_question(body)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Fault(status=400, code="invalid_request", message=f"not a chat request: {error}"), {}
        received += 1
        if refuses_max_tokens and "max_tokens" in body:
            return MAX_TOKENS_REFUSED, {}
        fault = (faults(received, image, prompt) if faults else None) or Fault()
        if fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        if fault.drop or fault.status != 200:
            return fault, {}
        text = answer(image, prompt) if fault.text is None else fault.text
        served += 1
        replied = completion(received, model, prompt, text, fault.finish_reason)
        return fault, replied if fault.usage is None else replied | {"usage": dict(fault.usage)}

    async def chat(request: Request) -> Response:
        try:
            body = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            body = None
        return response(*await reply(body))

    async def models(request: Request) -> Response:
        data = [{"id": model, "object": "model", "created": 0, "owned_by": "mini"}]
        return response(Fault(), {"object": "list", "data": data})

    async def health(request: Request) -> Response:
        return response(Fault(), {"status": "ok", "received": received, "served": served})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/health", health),
            *BatchDesk(reply, batch_faults).routes(),
        ]
    )


def read_question(body: dict[str, Any]) -> tuple[bytes | None, str]:
    """Return the (last) image and the whole text of a chat request; a ValueError when the image is no data URL."""
    image: bytes | None = None
    texts: list[str] = []
    for message in body["messages"]:
        content = message["content"]
        parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            if part["type"] == "text":
                texts.append(part["text"])
            elif part["type"] == "image_url":
                head, comma, data = part["image_url"]["url"].partition(",")
                if not (head.startswith("data:") and head.endswith(";base64") and comma):
                    raise ValueError("an image must be a base64 data URL")
                try:
                    image = base64.b64decode(data, validate=True)
                except binascii.Error as error:
                    raise ValueError(f"the image is not base64 ({error})") from None
    return image, "\n".join(texts)


def completion(number: int, model: str, prompt: str, text: str, finish_reason: str) -> dict[str, Any]:
    """Return a chat completion; its token counts are words, which is near enough for sums and budgets."""
    asked, said = len(prompt.split()), len(text.split())
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
    }
