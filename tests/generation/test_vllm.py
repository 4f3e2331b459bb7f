"""vLLM itself, served by the engine: the same texts as this project's own loop, also when the server is killed."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from conftest import PROJECT, run
from sharegpt4v.config.generation import Generation, Vllm
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Request, about_engine, open_engine
from sharegpt4v.generation.local import Generator
from sharegpt4v.serving.vllm_server import vllm_version
from tiny_llava import write_llava, write_pictures
from vllm_environment import vllm  # noqa: F401  (a fixture)

SETTINGS = Generation(engine="vllm", vllm=Vllm(sequences=16))


def processes_of(model: Path) -> list[psutil.Process]:
    """The running processes of a vLLM server with that checkpoint, by their command lines."""
    serving = ["vllm.entrypoints.openai.api_server", str(model)]
    return [found for found in psutil.process_iter(["cmdline"]) if {*serving} <= {*(found.info["cmdline"] or ())}]


def kill_soon(model: Path, ledger: Path) -> None:
    """Kill the server once there are some replies."""
    while not ledger.exists() or ledger.read_bytes().count(b"\n") < 5:
        time.sleep(0.05)
    for process in processes_of(model):
        process.send_signal(signal.SIGKILL)


@pytest.mark.usefixtures("vllm")
@pytest.mark.timeout(900)
def test_it_answers_as_the_local_engine_does_and_survives_its_server(tmp_path: Path) -> None:
    model, work = write_llava(tmp_path, "pad"), tmp_path / "work"
    pictures = [tmp_path / "data" / path for path in write_pictures(tmp_path / "data", 40)]
    (tmp_path / "data/broken.jpg").write_bytes(b"no image")
    requests = [Request("What is it?", picture, 24, "pad") for picture in pictures]
    requests += [Request("What is there?", picture, 9, "square") for picture in pictures[:5]]
    requests += [Request("Is there a red circle?", None, 8), Request("Why?", pictures[3].read_bytes(), 12)]
    requests += [Request("What is it?", tmp_path / "data/broken.jpg", 24)]
    expected = dict(Generator(model, 8).answer(requests))

    killer = threading.Thread(target=kill_soon, args=(model, work / "replies.jsonl"), daemon=True)
    with open_engine(model, SETTINGS, work) as engine:
        killer.start()
        found = dict(engine.answer(requests))
        killer.join(60)
        assert not killer.is_alive()
        assert list(engine._images.iterdir()) == []  # type: ignore[attr-defined]
    assert processes_of(model) == []
    broken = len(requests) - 1
    assert found.pop(broken).error and expected.pop(broken).error
    assert found == expected
    assert len({answer.text for answer in found.values()}) > 20

    about = about_engine(SETTINGS)
    assert about["vllm"] == vllm_version() and about["deterministic"] and "--seed" in about["arguments"]


def test_what_vllm_cannot_serve_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen_vl"}')
    with pytest.raises(UserError, match="vLLM does not serve the family qwen_vl; use --engine local"):
        open_engine(tmp_path, SETTINGS, tmp_path / "work")
    with pytest.raises(UserError, match="serves a checkpoint: expected its folder"):
        open_engine(None, SETTINGS, tmp_path / "work")


def test_nothing_is_lost_by_kills_of_server_and_job() -> None:
    script = str(PROJECT / "benchmarks/serving_kills.py")
    ended = run([sys.executable, script, "--kills", "3", "--requests", "150", "--seconds", "0.5"])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "150 answers, 0 of them wrong; 0 asked for that were on disk" in ended.stdout
    assert "kills: 1 of server, 1 of job, 1 of both" in ended.stdout
