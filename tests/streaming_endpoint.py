"""An OpenAI-compatible server that streams what a test says, slowly if it says so, and knows who left early."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sharegpt4v.loopback import served, server_of
from sharegpt4v.mini.endpoint import read_question

SLOW, FAILS = "slowly", "fails"
"""Questions that begin so are answered a piece each tenth of a second, or by an error that quotes the question."""


@dataclass
class Endpoint:
    """A server; `asked` are the bodies of its requests, `left` the questions whose answers were not awaited."""

    base_url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@contextmanager
def streaming_endpoint(pieces: Callable[[str], list[str]]) -> Iterator[Endpoint]:
    """Serve while the block runs: `pieces` are those of the answer to a question."""
    endpoint = Endpoint()

    async def events(question: str) -> AsyncIterator[str]:
        try:
            for piece in pieces(question):
                if question.startswith(SLOW):
                    await asyncio.sleep(0.1)
                yield f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            endpoint.left.append(question)
            raise
        yield "data: [DONE]\n\n"

    async def chat(request: Request) -> Response:
        body = await request.json()
        endpoint.asked.append(body)
        question = read_question({"messages": body["messages"][-1:]})[1]
        if question.startswith(FAILS):
            return JSONResponse({"error": {"message": f"cannot\nanswer {question}"}}, 400)
        return StreamingResponse(events(question), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    with served(server_of(app), "streaming endpoint") as address:
        endpoint.base_url = f"{address}/v1"
        yield endpoint
