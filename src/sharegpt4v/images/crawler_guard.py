"""What keeps img2dataset within bounds: it follows a list of web addresses that others wrote, on its own connections.

A copy of this file becomes the ``sitecustomize`` of img2dataset's own Python, which runs it first in every process of
img2dataset. So it uses the standard library alone. From then on:

- only http and https are known, also after redirects: no ``file://``, ``ftp://`` or ``data:``;
- a name is resolved here, and the connection goes to the address that was checked, so a name that resolves to something
  else the next time (DNS rebinding) gains nothing. Private, loopback and link-local addresses are refused;
- a response has a limit of bytes and one of seconds in all;
- the process ends when the one that started it has ended, however that was.

What is not covered: behind a proxy, the proxy resolves the names, so only literal addresses are refused there.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import json
import os
import signal
import socket
import threading
import time
import urllib.request
import weakref
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

VARIABLE = "S4V_CRAWLER_GUARD"
SCHEMES = ("http", "https")
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # its last 32 bits are an IPv4 address
POLL_S = 0.5


def objection(url: str, allowed: tuple[str, ...] = (), private: bool = False) -> str:
    """Say why the address of a list must not be asked for, by its text alone; empty when it may be.

    `allowed` are hosts with their port that may be asked whatever they are; `private`: all may.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "not an address"
    if parts.scheme not in SCHEMES or not host or not url.isprintable() or " " in url:
        return "not an address that begins with http:// or https://"
    if not private and parts.netloc not in allowed and not is_public(host, default=host != "localhost"):
        return "an address of this machine or of a private network"
    return ""


def is_public(address: str, default: bool = False) -> bool:
    """Tell an address of the public internet; `default` for what is no literal address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return default
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.ip_address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None)
        if inner:
            return inner.is_global and not inner.is_multicast
    return ip.is_global and not ip.is_multicast


class _Body(io.BytesIO):
    """What `urlopen` gives: the content, and the headers."""

    headers: Any


class _OnlyPublic(urllib.request.BaseHandler):
    """Checks every request, also those of redirects, before it is made."""

    def __init__(self, allowed: tuple[str, ...], private: bool) -> None:
        self.allowed, self.private = allowed, private

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        if reason := objection(request.full_url, self.allowed, self.private):
            raise OSError(reason)
        return request

    https_request = http_request


def guard(allowed: tuple[str, ...], private: bool, most_bytes: int, most_seconds: float) -> None:
    """Keep every connection of this process within bounds, and end it with the process that started it."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(), urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(), _OnlyPublic(allowed, private),
    ):  # fmt: skip
        opener.add_handler(handler)
    opened: weakref.WeakKeyDictionary[socket.socket, float] = weakref.WeakKeyDictionary()
    lock = threading.Lock()
    getresponse, connect = http.client.HTTPConnection.getresponse, socket.create_connection
    proxies = [urlsplit(proxy).netloc.rpartition("@")[2] for proxy in urllib.request.getproxies().values()]

    def timed_getresponse(self: http.client.HTTPConnection) -> http.client.HTTPResponse:
        with lock:
            opened[self.sock] = time.monotonic()
        return getresponse(self)

    def checked_connect(address: tuple[str, int], *arguments: Any, **options: Any) -> socket.socket:
        host, port = address
        if private or f"{host}:{port}" in (*allowed, *proxies):
            return connect(address, *arguments, **options)
        found = [ip for *_, (ip, *_) in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not all(is_public(str(ip)) for ip in found):
            raise OSError(f"{host} is an address of this machine or of a private network")
        for ip in found[:-1]:
            try:
                return connect((str(ip), port), *arguments, **options)
            except OSError:
                continue
        return connect((str(found[-1]), port), *arguments, **options)

    def bounded_urlopen(request: Any, data: Any = None, timeout: float = 10.0, **options: Any) -> _Body:
        began = time.monotonic()
        with opener.open(request, data, timeout) as response:
            body = _Body(response.read(most_bytes + 1))
            if len(body.getbuffer()) > most_bytes:
                raise OSError(f"more than {most_bytes:,} bytes")
            # A connection that ends early, also by `watch`, looks like the end of the response.
            if time.monotonic() - began > most_seconds:
                raise OSError(f"more than {most_seconds:,} seconds")
            if response.length:
                raise OSError(f"the connection ended {response.length:,} bytes early")
            body.headers = response.headers
            return body

    def watch(parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
            with lock:
                overdue = [one for one, since in opened.items() if time.monotonic() - since > most_seconds]
                for connection in overdue:
                    del opened[connection]
            for connection in overdue:
                with suppress(OSError):  # closed meanwhile
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        os.kill(os.getpid(), signal.SIGKILL)

    http.client.HTTPConnection.getresponse = timed_getresponse  # type: ignore[method-assign]
    socket.create_connection = checked_connect  # type: ignore[assignment]
    urllib.request.urlopen = bounded_urlopen  # type: ignore[assignment]
    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()


if __name__ == "sitecustomize" and VARIABLE in os.environ:
    settings = json.loads(os.environ[VARIABLE])
    guard(tuple(settings["allowed"]), settings["private"], settings["bytes"], settings["seconds"])
