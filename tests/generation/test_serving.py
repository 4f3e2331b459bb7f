"""A server that a job starts for itself: found when it serves, told apart from others, and gone whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from conftest import ENVIRONMENT
from sharegpt4v.errors import UserError
from sharegpt4v.serving.server import Server

STUB = """
import json, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
name, port = sys.argv[1], int(sys.argv[2])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "worker of " + name])
print("Error: out of memory" if "hungry" in name else "serving", flush=True)
if "hungry" in name:
    sys.exit(1)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"data": [{"id": name.removeprefix("other-")}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """A server in one file, which starts a worker as vLLM does."""
    (tmp_path / "stub.py").write_text(STUB)
    return tmp_path / "stub.py"


def server_of(stub: Path, name: str, served: str | None = None, seconds: float = 30) -> Server:
    """A server that is expected to serve `name`, and serves `served`."""
    log = stub.parent / "logs/server.log"
    return Server(name, lambda port: [sys.executable, str(stub), served or name, str(port)], {}, log, seconds)


def processes(mark: str) -> list[psutil.Process]:
    """What runs with a mark in its command line, servers and workers."""
    return [
        one for one in psutil.process_iter(["cmdline", "status"])
        if one.info["status"] != psutil.STATUS_ZOMBIE and any(mark in word for word in one.info["cmdline"] or ())
    ]  # fmt: skip


@contextmanager
def gone_within(seconds: float, mark: str) -> Iterator[None]:
    """After the block nothing with the mark runs any more, soon."""
    yield
    until = time.monotonic() + seconds
    while processes(mark) and time.monotonic() < until:
        time.sleep(0.1)
    assert processes(mark) == []


def test_a_server_is_waited_for_and_stopped_with_its_workers(stub: Path) -> None:
    server = server_of(stub, "first-model")
    server.start()
    assert server.is_running and server.base_url.startswith("http://127.0.0.1:")
    assert len(processes(str(stub))) >= 1 and processes("worker of first-model")
    with gone_within(30, "first-model"):
        server.stop()
    server.stop()
    assert not server.is_running


def test_one_that_ends_is_one_line_with_its_last_words(stub: Path) -> None:
    server = server_of(stub, "hungry")
    with (
        gone_within(30, "worker of hungry"),
        pytest.raises(UserError, match=r"hungry ended before it answered: Error: out of memory \(all of it: ") as error,
    ):
        server.start()
    assert "\n" not in str(error.value) and server.lacked_memory


def test_another_server_at_the_port_is_not_taken_for_it(stub: Path) -> None:
    server = server_of(stub, "mine", "other-theirs", seconds=3)
    with gone_within(30, str(stub)), pytest.raises(UserError, match="did not answer within 3 s: serving"):
        server.start()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_job_is_killed(stub: Path, number: signal.Signals) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom test_serving import server_of\n"
        f"server_of(Path({str(stub)!r}), 'orphan').start()\nprint('up', flush=True)\ntime.sleep(600)\n"
    )
    here = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
    job = subprocess.Popen(
        [sys.executable, "-c", script], env=ENVIRONMENT | {"PYTHONPATH": here}, stdout=subprocess.PIPE
    )
    assert job.stdout is not None and job.stdout.readline() == b"up\n"
    assert processes("worker of orphan")
    with gone_within(40, "orphan"):
        job.send_signal(number)
        job.wait(30)
