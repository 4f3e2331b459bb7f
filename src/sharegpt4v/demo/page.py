"""The process of the pages: Gradio in an environment of its own, for as long as the command runs.

What the page is to show and whom it asks goes by its environment, so a key is on no command line.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.project import PROJECT
from sharegpt4v.serving.server import Server

START_SECONDS = 120.0
SECONDS_BETWEEN_LOOKS = 0.5
ALONE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SERVER_NAME": "127.0.0.1",
    "GRADIO_SHARE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": "",
}
"""Nothing is sent to anybody, and nobody on another machine reaches the page."""


def demo_python(project: Path = PROJECT) -> Path:
    """Return the Python that has Gradio; a `UserError` where there is none."""
    python, app = project / ".venv-demo/bin/python", project / "space/app.py"
    if not app.is_file():
        raise UserError("the demo runs in a clone of the project, and this is an installed package; use a clone")
    if not python.is_file():
        raise UserError(f"the demo needs an environment of its own: no {python}; run `make demo-environment`")
    return python


class Page(Server):
    """The page in a browser, at a port of the user's choice (0: a free one)."""

    def __init__(self, name: str, environment: Mapping[str, str], port: int, log: Path) -> None:
        """`environment` is what `space/app.py` reads. A `UserError` when the port is taken, or Gradio is missing."""
        python = demo_python()
        port = _checked(port)
        self.address = f"http://127.0.0.1:{port}"
        command = [str(python), str(PROJECT / "space/app.py")]
        here = {**ALONE, "GRADIO_SERVER_PORT": str(port), **environment}
        super().__init__(name, lambda _: command, here, log, START_SECONDS)

    def wait(self) -> None:
        """Wait until a signal ends this command; a `UserError` when the page ends by itself."""
        while self.is_running:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        raise UserError(f"the page of {self.name} ended: {self.last_words()}")

    def _serves(self) -> bool:
        """Whether the page answers."""
        import httpx

        self.base_url = self.address
        with suppress(httpx.HTTPError):
            return httpx.get(self.address, timeout=5, trust_env=False).is_success
        return False


def _checked(port: int) -> int:
    """Return a port that nobody listens at: `port`, or any if it is 0."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            raise UserError(
                f"--port {port}: taken, or not to be had; expected another one, or 0 for a free one"
            ) from None
        return int(listener.getsockname()[1])
