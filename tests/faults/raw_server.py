"""A server that sends the bytes it is told to, as no HTTP server would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR, socket
from socketserver import StreamRequestHandler, ThreadingTCPServer

from troublesome_server import serving

Answer = Callable[["RawServer", str, socket], None]


class RawServer(ThreadingTCPServer):
    """Answers every request by `answer(server, path, connection)`; counts requests, and bytes that were taken."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.paths, self.sent = answer, list[str](), 0
        self.stop = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def send(self, connection: socket, content: bytes) -> None:
        """Send and count; raises when nobody takes it."""
        connection.sendall(content)
        self.sent += len(content)

    def drip(self, connection: socket, content: bytes, pause_s: float) -> None:
        """Send byte after byte until nobody takes them any more."""
        for byte in content:
            if self.stop.is_set():
                return
            self.send(connection, bytes([byte]))
            time.sleep(pause_s)


class _Handler(StreamRequestHandler):
    server: RawServer

    def handle(self) -> None:
        with suppress(OSError):
            line = self.rfile.readline(10_000).decode("latin-1").split(" ")
            while self.rfile.readline(10_000).strip():
                pass
            self.server.paths.append(line[1] if len(line) > 1 else "")
            self.server.answer(self.server, self.server.paths[-1], self.connection)
            self.connection.shutdown(SHUT_RDWR)


@contextmanager
def raw_server(answer: Answer) -> Iterator[RawServer]:
    """Run the server while the block runs."""
    with RawServer(answer) as server, serving(server):
        try:
            yield server
        finally:
            server.stop.set()
