"""Killed without warning in the middle of every slow stage, the same command goes on and comes to the same end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import pytest

from conftest import ENVIRONMENT, PROJECT, ledger_lines, run, snakemake
from sharegpt4v.config.benchmarks import BenchmarkName
from smoke_files import differing

# Often enough that there is a state to go on from in trainings of seconds.
OFTEN = [f"{stage}={{checkpoint_minutes: 0.001}}" for stage in ("alignment", "pretraining", "finetuning")]

# Per stage: the config that slows it, so that the kill comes in its middle, whether it has begun, whether it has ended.
# Slowing changes no result and reruns no stage. One stage is slowed at a time: a finished shard records its batch size.
MOMENTS: list[tuple[str, list[str], Callable[[Path], bool], Callable[[Path], bool]]] = [
    (
        "the teacher is asked",
        ["teacher={concurrency: 1, requests_per_minute: 240}"],
        lambda folder: ledger_lines(folder, ".work/seed_captions/replies.jsonl") >= 5,
        lambda folder: (folder / "data/sharegpt4v/sharegpt4v_instruct_gpt4-vision_cap100k.json").exists(),
    ),
    (
        "the captioner writes",
        ["captions={batch_size: 1}"],
        lambda folder: ledger_lines(folder, ".work/captions/*/*.jsonl") >= 5,
        lambda folder: len(list(folder.glob("data/captions/*.jsonl"))) == 3,
    ),
    (
        "a model is fine-tuned",
        [],
        lambda folder: any(folder.glob(".work/finetuning/**/rank-0-of-1.safetensors")),
        lambda folder: len(list(folder.glob("checkpoints/*/finetuned/model.safetensors"))) == 3,
    ),
    (
        "a model answers",
        ["benchmarks={batch_size: 1}"],
        lambda folder: ledger_lines(folder, ".work/answers/*/*/*.jsonl") >= 5,
        lambda folder: (
            len(list(folder.glob("results/answers/*"))) == 3
            and all(
                len(list(model.glob("*.jsonl"))) == len(get_args(BenchmarkName))
                for model in folder.glob("results/answers/*")
            )
        ),
    ),
]


def kill_when(begun: Callable[[Path], bool], folder: Path, config: Sequence[str]) -> None:
    """Start the run and kill all of its processes at once as soon as the stage has `begun`."""
    command = snakemake(folder, config=config)
    with open(folder / "said.txt", "a") as said:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=ENVIRONMENT, stdout=said, stderr=said, start_new_session=True
        )
        try:
            while not begun(folder):
                assert process.poll() is None, (folder / "said.txt").read_text()[-4000:]
                time.sleep(0.01)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.timeout(1500)  # a whole run, killed and begun again: slow where other work takes the processor
def test_killed_at_every_slow_stage_a_run_ends_as_one_that_never_was(smoke: Path, tmp_path: Path) -> None:
    for what, slow, begun, ended in MOMENTS:
        kill_when(begun, tmp_path, OFTEN + slow)
        assert not ended(tmp_path), f"killed too late: not while {what}"
    kept = {path: path.read_bytes() for path in tmp_path.glob(".work/**/*.jsonl") if "key" in path.read_text()[:9]}
    assert len(kept) >= 3

    finished = run(snakemake(tmp_path, config=OFTEN))
    assert finished.returncode == 0, finished.stderr[-4000:]
    assert differing(tmp_path, smoke) == []
    for path, before in kept.items():  # nothing that was there is asked again, or lost
        assert path.read_bytes().startswith(before.rpartition(b"\n")[0])
    for path in tmp_path.glob(".work/**/*.jsonl"):
        keys = Counter(json.loads(line).get("key") for line in path.read_text().splitlines())
        assert set(keys.values()) == {1}, path
    assert not list(tmp_path.glob(".work/**/rank-0-of-1.safetensors"))
