"""An endpoint that answers every request by any bytes at all, at any pace, and counts what it was asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from troublesome_server import serving

Sends = Callable[[str], Iterable[bytes]]  # the path asked for → what goes over the wire, piece by piece


class RawEndpoint(ThreadingHTTPServer):
    """`sends` says what is sent; `asked` are the paths of all requests, `bodies` what came with them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sends: Sends = lambda path: []
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.ended = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: RawEndpoint

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.close_connection = True
        with contextlib.suppress(OSError):  # whoever asked has gone
            for piece in self.server.sends(self.path):
                self.wfile.write(piece)
                if self.server.ended.is_set():
                    return

    def log_message(self, *parts: object) -> None:
        pass


@contextmanager
def raw_endpoint() -> Iterator[RawEndpoint]:
    """Run the server while the block runs."""
    with RawEndpoint() as server, serving(server):
        try:
            yield server
        finally:
            server.ended.set()
