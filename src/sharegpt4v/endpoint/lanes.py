"""One connection for each request under way, kept open for the next one.

A pool of httpx looks at all of its connections, and asks the system about each, whenever a request begins or ends: with
some hundred at a time that is most of what a request costs. Here a request takes the connection that was given back
last, whatever their number.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx


class Lanes(httpx.AsyncBaseTransport):
    """As many transports of one connection as requests have been under way at a time; `options` are httpx's own."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._free: list[httpx.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request by a free connection, or a new one."""
        lane = self._free.pop() if self._free else httpx.AsyncHTTPTransport(**self._options)
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            await lane.aclose()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Stream(response.stream, lane, self._free)
        return response

    async def aclose(self) -> None:
        """Close the connections that no request has."""
        while self._free:
            await self._free.pop().aclose()


class _Stream(httpx.AsyncByteStream):
    """The body of a response, whose end gives the connection back."""

    def __init__(
        self, body: httpx.AsyncByteStream, lane: httpx.AsyncHTTPTransport, free: list[httpx.AsyncHTTPTransport]
    ) -> None:
        self._body, self._lane, self._free = body, lane, free

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()
        self._free.append(self._lane)
