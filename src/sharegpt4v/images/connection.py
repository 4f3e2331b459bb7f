"""One HTTP connection of a download, whose answer is bounded in time: a server may send a header byte by byte for days.

Only http and https are spoken, also after redirects.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from sharegpt4v.addresses import is_loopback
from sharegpt4v.errors import UserError, printable

ANSWERS_WITHIN = 4  # times the silence that is allowed: it holds for all redirects and headers together


class NoAddress(UserError):
    """An address, in the catalogue or of a redirect, that cannot be asked for."""


class Connection:
    """A client for one address; `timeout_s` is the silence after which a request is given up."""

    def __init__(self, address: str, timeout_s: float) -> None:
        if not _is_http(address):
            raise NoAddress(f"{redacted(address)}: expected an address beginning with http:// or https://")
        self.timeout_s = timeout_s
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=True, trust_env=not is_loopback(address))
        self._stream: Any = None

    @contextmanager
    def get(self, address: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Ask for `address`, and yield the response with its body still to come.

        `NoAddress` for a redirect that leads nowhere; `httpx.TransportError` for all that may pass.
        """
        timer = threading.Timer(ANSWERS_WITHIN * self.timeout_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            extensions = {"trace": self._remember}
            request = self._client.build_request("GET", address, headers=headers, extensions=extensions)
            response = self._client.send(request, stream=True)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError) as error:
            raise NoAddress(f"leads to an address that is not of http or https ({printable(str(error))})") from None
        except httpx.TooManyRedirects:
            raise NoAddress("leads in a circle of redirects") from None
        finally:
            timer.cancel()
        try:
            yield response
        finally:
            response.close()

    def _remember(self, event: str, about: Mapping[str, Any]) -> None:
        """Keep the connection that httpx has opened, as it tells the steps of a request."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = about["return_value"]

    def _cut(self) -> None:
        with suppress(OSError, AttributeError):  # not open yet, or closed meanwhile
            socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


def redacted(address: str) -> str:
    """Return an address as it may be printed: without the query and the user name, which can hold secrets."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return printable(address.partition("?")[0].rpartition("@")[2])
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else address)


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
