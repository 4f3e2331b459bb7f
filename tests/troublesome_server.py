"""A server that does to downloads what real ones do: cuts, lies, expires, redirects, is slow."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from urllib.parse import urlsplit

CONTENT = bytes(range(256)) * 4_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Troublesome(ThreadingHTTPServer):
    """A server of one file, or of several by their paths; what is in the lists happens to the next responses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.version = CONTENT, '"one"'
        self.files: dict[str, bytes] = {}  # content by path; other paths have `content`
        self.knows_range = True
        self.wrong_ranges = 0  # how many times a piece from elsewhere is sent
        self.expired: set[str] = set()  # paths that are refused
        self.cuts: list[int] = []  # bytes after which they are cut
        self.stalls: list[int] = []  # bytes after which they fall silent
        self.claimed: list[int] = []  # lengths that they claim to have
        self.refusals: list[int] = []  # statuses
        self.asked: list[str] = []  # paths
        self.ranges: list[str | None] = []  # what was asked for of them

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def address(self) -> str:
        return f"{self.base_url}/images.zip"


class Handler(BaseHTTPRequestHandler):
    server: Troublesome

    def do_GET(self) -> None:
        server, asked, path = self.server, self.headers.get("Range"), urlsplit(self.path).path
        if path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", path.removeprefix("/moved"))
            self.end_headers()
            return
        if path == "/round":
            self.send_response(302)
            self.send_header("Location", "/round")
            self.end_headers()
            return
        server.asked.append(path)
        server.ranges.append(asked)
        if server.refusals or path in server.expired:
            self.send_error(server.refusals.pop(0) if server.refusals else 403)
            return
        content = server.files.get(path, server.content)
        start = 0
        if asked and server.knows_range and self.headers.get("If-Range") in (None, server.version):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        if start and server.wrong_ranges:
            server.wrong_ranges -= 1
            start += 7
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(server.claimed.pop(0) if server.claimed else len(body)))
        self.send_header("ETag", server.version)
        self.end_headers()
        if server.stalls:
            after = server.stalls.pop(0)
            self.wfile.write(body[:after])
            time.sleep(0.6)
            body = body[after:]
        with suppress(ConnectionError):  # nobody waits any longer
            self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)
        self.close_connection = True

    def log_message(self, *parts: object) -> None:
        pass


@contextmanager
def troublesome() -> Iterator[Troublesome]:
    """Run the server while the block runs."""
    with Troublesome() as server, serving(server):
        yield server


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Let a server answer while the block runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
