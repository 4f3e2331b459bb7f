"""A model on this machine's loopback address by the OpenAI protocol, its answers streamed, one at a time.

It is for the pages of the demo; at scale a model is served by vLLM. A page in the browser that belongs to somebody else
reaches it neither by a name of its own (the host is checked) nor by a form (only JSON is taken).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sharegpt4v.demo.conversation import read_conversation
from sharegpt4v.demo.streaming import StreamingGenerator
from sharegpt4v.errors import UserError, one_line
from sharegpt4v.generation.engine import Answer
from sharegpt4v.loopback import HOSTS
from sharegpt4v.models.continuous_batching import Prompt

MOST_BYTES = 64 * 2**20  # of a request: an image of 40 MiB in base64, and its texts


class _Ended(Exception):
    """Whoever asked takes no more."""


def application(model: StreamingGenerator, name: str) -> Starlette:
    """Return the server of a loaded model, which it calls `name`."""
    turn = asyncio.Lock()

    async def chat(request: Request) -> Response:
        try:
            body = await _json_of(request)
            prompt = await asyncio.to_thread(lambda: model.prepare(read_conversation(body)))
        except UserError as error:
            return JSONResponse(_error(error), 400)
        parts = _written(model, prompt, turn)
        if body.get("stream"):
            return StreamingResponse(_events(parts, name), media_type="text/event-stream")
        try:
            (answer,) = [one async for one in parts if isinstance(one, Answer)]
        except Exception as error:
            return JSONResponse(_error(error), 500)
        choice = {"index": 0, "message": {"role": "assistant", "content": answer.text}}
        return JSONResponse(_about(name, "chat.completion", choice | {"finish_reason": answer.finish_reason}))

    async def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "sharegpt4v"}]})

    return Starlette(
        routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/models", models)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
    )


async def _json_of(request: Request) -> dict[str, Any]:
    """Return the body of a request; a `UserError` when it is no JSON object, or too long."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise UserError("the request is not of type application/json")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise UserError(f"the request has more than {MOST_BYTES:,} bytes; expected a smaller image")
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UserError(f"the request is not JSON ({one_line(error)})") from None
    if not isinstance(body, dict):
        raise UserError("the request is no JSON object; expected a chat completion request")
    return body


async def _written(model: StreamingGenerator, prompt: Prompt, turn: asyncio.Lock) -> AsyncIterator[str | Answer]:
    """Yield the pieces of a text as they are written, then the answer. Whoever takes no more ends the writing."""
    loop, ended = asyncio.get_running_loop(), threading.Event()
    found = asyncio.Queue[str | Answer | Exception]()

    def put(one: str | Answer | Exception) -> None:
        if ended.is_set():
            raise _Ended
        loop.call_soon_threadsafe(found.put_nowait, one)

    def write() -> None:
        with suppress(_Ended):
            try:
                put(model.write(prompt, put))
            except _Ended:
                raise
            except Exception as error:  # shown to whoever asked
                put(error)

    async with turn:
        writing = loop.run_in_executor(None, write)
        try:
            while isinstance(one := await found.get(), str):
                if one:
                    yield one
            if isinstance(one, Exception):
                raise one
            yield one
        finally:
            ended.set()
            await asyncio.wait([writing])  # the next text begins when this one has ended


async def _events(parts: AsyncIterator[str | Answer], name: str) -> AsyncIterator[bytes]:
    """Yield the events of a stream; an error after its beginning is an event too."""
    delta: dict[str, str] = {"role": "assistant", "content": ""}
    yield _event(_about(name, "chat.completion.chunk", {"index": 0, "delta": delta, "finish_reason": None}))
    async with aclosing(parts):  # type: ignore[type-var]
        try:
            async for one in parts:
                delta, reason = ({"content": one}, None) if isinstance(one, str) else ({}, one.finish_reason)
                choice = {"index": 0, "delta": delta, "finish_reason": reason}
                yield _event(_about(name, "chat.completion.chunk", choice))
        except Exception as error:
            yield _event(_error(error))
    yield b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def _about(name: str, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-demo", "object": kind, "created": int(time.time()), "model": name, "choices": [choice]}


def _error(error: Exception) -> dict[str, Any]:
    said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {one_line(error)}"
    return {"error": {"message": said, "type": "invalid_request_error"}}
