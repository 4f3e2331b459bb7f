"""A model server on this machine's loopback address, for as long as a job needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sharegpt4v.errors import UserError, printable
from sharegpt4v.progress import duration

GUARD = Path(__file__).with_name("guard.py")
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_STOP = 60
LINES_OF_LOG = 3
OUT_OF_MEMORY = ("out of memory", "OutOfMemoryError", "No available memory for the cache blocks")


class Server:
    """A process that serves the model `name` by the OpenAI protocol, at a free port each time that it is started.

    `command` gives the words that start it, by the port. Standard output and errors go to the file `log`. `name` has to
    be unlike that of any other server, so that nobody else's is taken for this one where a port is taken.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        environment: Mapping[str, str],
        log: Path,
        start_seconds: float,
    ) -> None:
        self.name, self.log = name, log
        self._command, self._environment, self._start_seconds = command, environment, start_seconds
        self._guard: subprocess.Popen[bytes] | None = None
        self.base_url = ""

    def start(self) -> None:
        """Start it and wait until it serves the model; a `UserError` shows the end of its log where it does not."""
        self.stop()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        port = _free_port()
        self.base_url = f"http://127.0.0.1:{port}/v1"
        began = time.monotonic()
        self._guard = subprocess.Popen(
            [sys.executable, "-S", str(GUARD), str(self.log), *self._command(port)],
            env=os.environ | self._environment,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            while not self._serves():
                if not self.is_running:
                    raise UserError(f"the server of {self.name} ended before it answered: {self.last_words()}")
                if time.monotonic() - began > self._start_seconds:
                    waited = duration(self._start_seconds)
                    raise UserError(f"the server of {self.name} did not answer within {waited}: {self.last_words()}")
                time.sleep(SECONDS_BETWEEN_LOOKS)
        except BaseException:
            self.stop()
            raise
        print(f"{self.name} is served at {self.base_url} after {duration(time.monotonic() - began)}", file=sys.stderr)

    @property
    def is_running(self) -> bool:
        """Whether the process that was started is there still."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def lacked_memory(self) -> bool:
        """Whether its log says that its device ran out of memory."""
        said = self.log.read_text(errors="replace") if self.log.is_file() else ""
        return any(words in said for words in OUT_OF_MEMORY)

    def last_words(self) -> str:
        """The last lines of its log that say something, as one line, and where the log is."""
        said = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in said if "Error" in line] or said
        return printable(f"{' | '.join(errors[-LINES_OF_LOG:]) or 'it said nothing'} (all of it: {self.log})")

    def stop(self) -> None:
        """End the server and all that it started; nothing happens where none runs."""
        if self._guard is None:
            return
        assert self._guard.stdin is not None
        with suppress(BrokenPipeError):
            self._guard.stdin.close()
        try:
            self._guard.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._guard.kill()
        self._guard = None

    def _serves(self) -> bool:
        """Whether it answers, and with the model's name: another server may have taken the port."""
        import httpx

        with suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
            reply = httpx.get(f"{self.base_url}/models", timeout=5, trust_env=False)
            return reply.is_success and self.name in [model["id"] for model in reply.json()["data"]]
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
