"""Requests of httpx over connections of aiohttp, which take a third of the processor's time of httpx's own.

With some hundred requests under way, as a vLLM server wants them, httpx's pool looks at all of its connections whenever
one begins or ends, and its parser is Python's. All that decides on what is sent stays httpx's: addresses, headers,
bodies, time limits. A proxy that the environment names is aiohttp's to ask: httpx does it with its own transport only.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import httpx
from yarl import URL

AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # headers that aiohttp would add


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A pool of as many connections as requests are under way. It is made where the loop runs."""

    def __init__(self, context: ssl.SSLContext, trust_env: bool) -> None:
        """`trust_env`: whether a proxy that the environment names is asked, as httpx asks it."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            auto_decompress=False,
            trust_env=trust_env,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=AUTOMATIC,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request once; errors are those of httpx's own transport."""
        limits = request.extensions.get("timeout", {})
        with _as_httpx():
            answer = await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                data=request.content if isinstance(request.stream, httpx.ByteStream) else request.stream,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=limits.get("connect"), sock_read=limits.get("read")
                ),
                allow_redirects=False,
            )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


class _Body(httpx.AsyncByteStream):
    """What an answer holds, as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for chunk in self._answer.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        """Keep the connection when all was read; else close it, as the rest may be of any length."""
        if not self._answer.content.at_eof():
            self._answer.close()
        self._answer.release()


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
        kind = httpx.ConnectTimeout if isinstance(error, aiohttp.ConnectionTimeoutError) else httpx.ConnectError
        raise kind(str(error)) from error
    except aiohttp.ServerTimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.RemoteProtocolError(str(error) or type(error).__name__) from error
