"""On a reader's own machine the page answers to its loopback names alone, and loads nothing from elsewhere."""

from __future__ import annotations

import os
from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

HERE = ("127.0.0.1", "localhost")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Gradio's own scripts are inline. Whatever an answer may hold, the browser fetches nothing of anybody for it."""


def only_here() -> list[Middleware]:
    """Return what stands before the page; nothing where it is for others, as on a Space."""
    if os.environ.get("GRADIO_SERVER_NAME", HERE[0]) not in HERE:
        return []
    return [Middleware(TrustedHostMiddleware, allowed_hosts=[*HERE]), Middleware(WithPolicy)]


class WithPolicy:
    """Adds the policy to every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on."""

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, sent)
