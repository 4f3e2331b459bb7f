"""An ASGI application in a thread, at a free port of this machine's loopback address."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from sharegpt4v.errors import UserError


@contextmanager
def served(application: Starlette) -> Iterator[str]:
    """Serve while the block runs; yields the address, `http://127.0.0.1:<port>`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # bound here, so that nobody else can take the port
        config = uvicorn.Config(
            application, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="model server", daemon=True)
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise UserError("the model's server ended before it served anything; run the same command again")
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
