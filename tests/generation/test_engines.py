"""A checkpoint's folder says the same through three engines; the script that finds out notices when it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from conftest import ENVIRONMENT, PROJECT, run
from tiny_llava import write_llava, write_pictures

VLLM = PROJECT / ".venv-vllm/bin/python"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A model that writes something else about nearly every picture, and 40 pictures in `data` beside it."""
    write_pictures(tmp_path / "data", 40)
    return write_llava(tmp_path, "pad")


def command(checkpoint: Path, *engines: str) -> list[str]:
    """The command line that compares `engines` with the project's own."""
    script, data = "benchmarks/engines_equal.py", str(checkpoint.parent / "data")
    return [sys.executable, script, str(checkpoint), "--images", data, "--max-new-tokens", "24", "--engines", *engines]


def test_transformers_alone_says_the_same(checkpoint: Path) -> None:
    ended = run(command(checkpoint, "transformers"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "| transformers | 40 of 40 | 40 of 40 |" in ended.stdout


def test_a_difference_is_shown(checkpoint: Path) -> None:
    template = checkpoint / "chat_template.jinja"
    template.write_text(template.read_text().replace("{{ bos_token }}", ""))
    ended = run(command(checkpoint, "transformers"))
    assert ended.returncode == 1 and "| transformers | 40 of 40 |" not in ended.stdout
    assert "    project: (" in ended.stdout and "    transformers: (" in ended.stdout


@pytest.fixture
def vllm() -> None:
    """Skip without vLLM's environment, unless nothing may be skipped."""
    if not VLLM.is_file():
        assert "S4V_REQUIRE_ALL" not in os.environ, "vLLM is missing; `make vllm` installs it"
        pytest.skip("`make vllm` installs vLLM")


@pytest.mark.usefixtures("vllm")
def test_vllm_says_the_same(checkpoint: Path) -> None:
    ended = run(command(checkpoint, "vllm"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "| vllm | 40 of 40 | 40 of 40 |" in ended.stdout
    assert processes_of(checkpoint) == []


@pytest.mark.usefixtures("vllm")
def test_no_server_is_left_behind(checkpoint: Path) -> None:
    script = subprocess.Popen(command(checkpoint, "vllm"), cwd=PROJECT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not processes_of(checkpoint) and time.monotonic() < until:
        time.sleep(0.2)
    assert processes_of(checkpoint)
    script.send_signal(signal.SIGTERM)
    assert script.wait(60) == 143
    assert processes_of(checkpoint) == []


def processes_of(checkpoint: Path) -> list[psutil.Process]:
    """The running processes of a vLLM server with that checkpoint, by their command lines."""
    serving = ["vllm.entrypoints.openai.api_server", str(checkpoint)]
    return [found for found in psutil.process_iter(["cmdline"]) if {*serving} <= {*(found.info["cmdline"] or ())}]
