"""A page for this machine alone.

Every address begins with a secret that is new at each start: what other pages and other users of the machine do not
know they can neither read nor change. Requests for another host than loopback, as by a rebound name, are refused.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sharegpt4v.errors import UserError, one_line
from sharegpt4v.loopback import HOSTS, listen

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def listen_at(port: int) -> socket.socket:
    """Return a socket that listens at a port of loopback, 0 for any free one; one that is taken is a `UserError`."""
    try:
        return listen(port)
    except (OSError, OverflowError) as error:
        raise UserError(f"--port {port}: cannot listen there ({one_line(error)}); expected a free port") from None


def new_secret() -> str:
    """Return what the addresses of one start begin with."""
    return secrets.token_urlsafe(16)


def behind(secret: str, routes: Sequence[BaseRoute]) -> Starlette:
    """Return an application that has its routes below `/SECRET/`, for hosts of loopback, with `HEADERS`."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Mount

    return Starlette(
        routes=[Mount(f"/{secret}", routes=routes)],
        middleware=[Middleware(Headers), Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
    )


class Headers:
    """Gives every response the headers that keep a browser from loading, showing or keeping anything else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        await self.app(scope, receive, send_with_headers)
