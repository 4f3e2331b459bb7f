"""The way to an OpenAI-compatible endpoint: bounded in time and size, straight to its address, its key told to nobody.

An address holds no user, password, key or query, so that it may be shown. Redirects are not followed: an image goes to
the host that the config names, and to no other.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from sharegpt4v.addresses import is_loopback
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.endpoint.failure import Failure, RequestFailed, code_and_message, may_be_billed
from sharegpt4v.endpoint.pacing import retry_after
from sharegpt4v.errors import UserError, printable

if TYPE_CHECKING:
    import ssl

    from aiohttp import ClientResponse

EXAMPLE = "https://api.example.org/v1"
LONGEST_BODY = 4 * 2**20  # bytes of an answer
LONGEST_ERROR = 64 * 2**10  # bytes that are read of an error
LONGEST_KEPT = 10_000  # characters of an answer that cannot be used
LONGEST_LINE = 300  # characters
ESCAPED = re.compile(r"\\u00([2-7][0-9a-fA-F])")  # printable ASCII, in JSON
SHORTEST_SECRET = 8  # characters; a shorter word than this is in captions by chance
SLOWEST_FILE = 50_000  # bytes per second


@dataclass(frozen=True)
class Answer:
    """An answer of a good status, read to its end."""

    headers: Mapping[str, str]
    body: bytes


class Connection:
    """An endpoint's address and key, and as a context manager the open connections to it.

    A missing key, and an address that is none or holds secrets, is a `UserError`, which never shows the latter. No
    request takes longer than `timeout_seconds`, and no wait that the endpoint asks for longer than
    `longest_wait_seconds`.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._api_key = _key_in(endpoint.api_key_variable) if endpoint.api_key_variable else ""
        self.address = _checked(endpoint.base_url, self._api_key)
        self._timeout, self._longest_wait = endpoint.timeout_seconds, endpoint.longest_wait_seconds

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is a server on this machine."""
        return is_loopback(self.address)

    async def __aenter__(self) -> Connection:
        import aiohttp
        from yarl import URL

        try:
            self._base = URL(self.address.rstrip("/") + "/")
        except ValueError:
            raise UserError(f"base_url is not an address; expected something like {EXAMPLE}") from None
        # What comes is read as it is: a small body may inflate to any size.
        headers = {"Accept-Encoding": "identity"}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_certificates() if self._base.scheme == "https" else True),
            headers=headers | ({"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}),
            # Where the connection takes too long, it is known that nothing was sent.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout / 2, sock_read=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # A proxy named in the environment cannot reach this machine's loopback.
            trust_env=not self.is_local,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        content: Any = None,
        *,
        file_bytes: int = 0,
        longest: int = LONGEST_BODY,
        **what: Any,
    ) -> Answer:
        """Send a request, `content` as JSON, and return the answer of status 2xx; else raise `RequestFailed`.

        A transfer of files, whose content has `file_bytes` or whose answer may be `longest`, gets more time the more
        of it has come through. `what` are arguments of aiohttp.
        """
        import aiohttp

        if content is not None:
            what |= {"data": orjson.dumps(content), "headers": {"Content-Type": "application/json"}}
        address = self._base.joinpath(path, encoded=True)
        try:
            async with (
                asyncio.timeout(self._timeout + file_bytes / SLOWEST_FILE) as limit,
                self._session.request(method, address, allow_redirects=False, **what) as response,
            ):
                return await self._read(response, longest, limit)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            message = self.one_line(f"cannot be reached: {str(error) or type(error).__name__}")
            raise RequestFailed(Failure(0, "", message, charged=False)) from None
        except TimeoutError:  # also aiohttp's own
            message = f"no whole answer within {self._timeout:g} s"
            raise RequestFailed(Failure(0, "", message, charged=True)) from None
        except (aiohttp.ClientError, OSError) as error:
            message = self.one_line(f"the connection broke: {str(error) or type(error).__name__}")
            raise RequestFailed(Failure(0, "", message, charged=True)) from None

    async def _read(self, response: ClientResponse, longest: int, limit: asyncio.Timeout) -> Answer:
        good, body = 200 <= response.status < 300, bytearray()
        began = limit.when() or 0.0
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > (longest if good else LONGEST_ERROR):
                break
            if longest > LONGEST_BODY:
                limit.reschedule(began + len(body) / SLOWEST_FILE)
        if good and len(body) > longest:
            message = f"the answer is longer than {longest:,} bytes"
            failure = Failure(response.status, "", message, charged=True, raw=self.kept(bytes(body[:LONGEST_BODY])))
            raise RequestFailed(failure, response.headers)
        if not good:
            raise RequestFailed(self._failure(response, bytes(body)), response.headers)
        return Answer(response.headers, bytes(body))

    def _failure(self, response: ClientResponse, body: bytes) -> Failure:
        try:
            code, message = code_and_message(orjson.loads(body))
        except orjson.JSONDecodeError:
            code, message = "", body.decode(errors="replace")
        if 300 <= response.status < 400:
            message = f"redirects to {_shown(response.headers.get('location', ''))}"
        wait = retry_after(response.headers, self._longest_wait)
        charged = may_be_billed(response.status)
        return Failure(response.status, self.one_line(code), self.one_line(message), charged, wait)

    def redacted(self, text: str) -> str:
        """Return `text` without the key."""
        return text.replace(self._api_key, "***") if len(self._api_key) >= SHORTEST_SECRET else text

    def one_line(self, text: str) -> str:
        """Return what an endpoint said fit for files and logs: one line, not long, without the key."""
        return printable(" ".join(self.redacted(text).split()))[:LONGEST_LINE]

    def kept(self, body: bytes) -> str:
        """Return an answer that cannot be used fit for a file: as text, not long, without the key."""
        text = body.decode(errors="backslashreplace").replace("\\/", "/")
        text = ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)  # so that no escape hides the key
        return self.redacted(text)[:LONGEST_KEPT]


def _certificates() -> ssl.SSLContext:
    """Return what verifies an endpoint: the certificates of httpx, or those that the environment names."""
    import httpx

    return httpx.create_ssl_context()


def _key_in(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"${variable} is not set; put the endpoint's key into this environment variable")
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"${variable} holds characters that no key has; put the endpoint's key into it")
    return key


def _checked(base_url: str, key: str) -> str:
    try:
        parts = urlsplit(base_url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known or not base_url.isprintable() or any(letter.isspace() for letter in base_url):
        raise UserError(f"base_url is not an address; expected something like {EXAMPLE}")
    if any(mark in base_url for mark in "@?#") or (len(key) >= SHORTEST_SECRET and key in base_url):
        raise UserError(
            f"base_url holds a user, a password, a key or a query; expected the bare address such as {EXAMPLE}; put "
            "the key into the environment variable that api_key_variable names"
        )
    return base_url


def _shown(address: str) -> str:
    """Return an address that an endpoint gave without user, password and query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "an address that is none"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) or "nowhere"
