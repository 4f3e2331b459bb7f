"""Servers at this machine's loopback address alone: the demo's, the review page's, the mini endpoint's."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from uvicorn import Server

HOSTS = ["127.0.0.1", "localhost"]
"""The names under which a server answers: any other is another machine's page, or a rebound name."""
WAITING = 1024  # connections that may wait to be accepted


def listen(port: int = 0) -> socket.socket:
    """Return a socket that listens at a port, 0 for any free one; an `OSError` or `OverflowError` where it cannot."""
    listener = socket.create_server(("127.0.0.1", port), backlog=WAITING)
    # Else the second half of a response waits 40 ms for the client's kernel to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def server_of(app: Starlette, keep_alive_seconds: int = 5, log_level: str | None = None) -> Server:
    """Return a server that writes no lines of access, and waits a second at most for what is under way when it ends."""
    import uvicorn

    config = uvicorn.Config(
        app, log_config=None, log_level=log_level, access_log=False, lifespan="off", ws="none",
        timeout_keep_alive=keep_alive_seconds, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return uvicorn.Server(config)


@contextmanager
def served(server: Server, name: str) -> Iterator[str]:
    """Run a server in a thread, at a free port, while the block runs; yields `http://127.0.0.1:<port>`."""
    with listen() as listener:  # bound here, so that nobody else can take the port
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name=name, daemon=True)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise UserError(f"the {name} ended before it served anything; run the same command again")
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
