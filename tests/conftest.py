"""The smoke preset run once for all tests that look at a finished run, and how to start one."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from harness import Outcomes
from sharegpt4v.mini.endpoint_faults import Fault

PROJECT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"  # in the folder of each run, not the clone's
os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
ENVIRONMENT = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests on Slurm first: one of them takes longer than any other, and the rest can run beside it."""
    items.sort(key=lambda item: item.path.name != "test_slurm.py")


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """Counts how the cases of a test of hostile input ended; all counts are printed at the end."""
    counted = Outcomes()
    yield counted
    request.node.user_properties.append(("outcomes", dict(counted)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each test of hostile input: how many cases it tried, and how they ended."""
    for report in terminalreporter.getreports(""):  # those of teardowns, which come after the count
        for name, counted in report.user_properties if report.when == "teardown" else ():
            if name == "outcomes" and counted:
                ended = ", ".join(f"{count:,} {how}" for how, count in sorted(counted.items()))
                terminalreporter.write_line(f"{report.nodeid}: {sum(counted.values()):,} cases: {ended}")


def snakemake(folder: Path, *arguments: str, config: Sequence[str] = ()) -> list[str]:
    """The command line that runs the smoke preset in `folder`; `config` are overrides such as `seed=3`."""
    command = [str(BIN / "snakemake"), *arguments, "--directory", str(folder), "--configfile", "config/smoke.yaml"]
    return [*command, "--config", *config] if config else command


def run(
    command: Sequence[str], folder: Path = PROJECT, environment: Mapping[str, str] = ENVIRONMENT
) -> subprocess.CompletedProcess[str]:
    """Run a command from `folder` and return how it ended, with what it said."""
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def planned_jobs(told: str) -> dict[str, int]:
    """How many jobs of each rule a dry run of Snakemake would carry out, by what it told; without targets."""
    if "Job stats:" not in told:
        assert "Nothing to be done" in told, told
        return {}
    table = told.partition("Job stats:")[2].partition("\ntotal")[0].splitlines()[3:]
    jobs = {line.split()[0]: int(line.split()[1]) for line in table if line.strip()}
    return {rule: count for rule, count in jobs.items() if not rule.startswith("all")}


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all test processes have in common."""
    shared = tmp_path_factory.getbasetemp()
    return shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the smoke preset. Tests that change something take a `copy_of` it.

    All test processes share one run: whoever comes first makes it, for the others the command has nothing to do.
    """
    shared = shared_folder(tmp_path_factory)
    folder = shared / "smoke"
    with open(shared / "smoke.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = run(snakemake(folder))
    assert ended.returncode == 0, ended.stderr[-4000:]
    return folder


def copy_of(finished: Path, target: Path) -> Path:
    """Copy a finished run, dates and all, so that Snakemake sees nothing to do in the copy either."""
    return Path(shutil.copytree(finished, target, symlinks=True))


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serving(command: Sequence[str], folder: Path, logs: Path, uri: str) -> Iterator[None]:
    """An MLflow server, started in `folder`, that answers at `uri` for as long as the block lasts."""
    with open(logs / "server.log", "wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while True:
            try:
                httpx.get(f"{uri}/health", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                assert server.poll() is None and time.monotonic() < until, (logs / "server.log").read_text()
                time.sleep(0.2)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def kill_at_the_eighth(
    child: Sequence[subprocess.Popen[bytes]], started: threading.Event
) -> Callable[[int, bytes | None, str], Fault | None]:
    """Faults of the mini endpoint: at the eighth request, once `started`, the first of `child` is killed with -9."""

    def fault(number: int, image: bytes | None, prompt: str) -> Fault | None:
        if number != 8:
            return None
        started.wait()
        os.kill(child[0].pid, signal.SIGKILL)
        child[0].wait()
        return Fault(drop=True)

    return fault


def ledger_lines(folder: Path, pattern: str) -> int:
    """How many complete lines the ledgers of a stage hold."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(pattern))
