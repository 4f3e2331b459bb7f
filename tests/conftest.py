"""The smoke preset run once for all tests that look at a finished run, and how to start one."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from sharegpt4v.mini.endpoint import Fault

PROJECT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ENVIRONMENT = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def snakemake(folder: Path, *arguments: str, config: Sequence[str] = ()) -> list[str]:
    """The command line that runs the smoke preset in `folder`; `config` are overrides such as `seed=3`."""
    command = [str(BIN / "snakemake"), *arguments, "--directory", str(folder), "--configfile", "config/smoke.yaml"]
    return [*command, "--config", *config] if config else command


def run(
    command: Sequence[str], folder: Path = PROJECT, environment: Mapping[str, str] = ENVIRONMENT
) -> subprocess.CompletedProcess[str]:
    """Run a command from `folder` and return how it ended, with what it said."""
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the smoke preset. Tests that change something take a `copy_of` it.

    All test processes share one run: whoever comes first makes it, for the others the command has nothing to do.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "smoke"
    with open(shared / "smoke.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = run(snakemake(folder))
    assert ended.returncode == 0, ended.stderr[-4000:]
    return folder


def copy_of(finished: Path, target: Path) -> Path:
    """Copy a finished run, dates and all, so that Snakemake sees nothing to do in the copy either."""
    return Path(shutil.copytree(finished, target, symlinks=True))


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
