"""How commands and runs end: asked or killed, they leave no process and no half-written file, and can be resumed."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from conftest import BIN, ENVIRONMENT, PROJECT, copy_of, run, snakemake
from sharegpt4v.lifetime import VARIABLE
from sharegpt4v.pipeline.leftovers import leftover_processes, remove_leftovers
from smoke_files import differing

MARK = "S4V_TEST_OF_ENDINGS"
SECONDS = 15.0
S4V = str(BIN / "s4v")


def processes_with(mark: str) -> list[str]:
    """The commands of all processes that have this in their environment, and are more than waiting to be counted."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [command for command in found if command]


def wait_until(holds: Callable[[], object], seconds: float, said: Callable[[], str] = str) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, said()
        time.sleep(0.02)


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name.endswith((".tmp", ".unfinished"))]


@pytest.fixture
def retraining(smoke: Path, tmp_path: Path) -> Path:
    """A finished run in which a model is missing."""
    folder = copy_of(smoke, tmp_path / "run")
    shutil.rmtree(folder / "checkpoints/sharegpt4v-7b")
    return folder


def steps(folder: Path) -> int:
    """How many steps of a fine-tuning are on record."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(".work/finetuning/**/metrics.jsonl"))


def test_a_terminal_that_is_closed_ends_a_training_with_its_state_saved(smoke: Path, retraining: Path) -> None:
    command = [S4V, "stage", "finetuning", "sharegpt4v-7b"]
    process, terminal = pty.fork()
    if not process:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.chdir(retraining)
        os.execve(S4V, command, ENVIRONMENT)
    try:
        wait_until(lambda: steps(retraining) >= 3, 120)
    finally:
        os.close(terminal)  # the kernel tells the process by SIGHUP, and it can print no more
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    assert list(retraining.glob(".work/finetuning/**/rank-0-of-1.safetensors")) and not temporary_files(retraining)
    again = run(command, retraining)
    assert again.returncode == 0, again.stderr
    assert differing(retraining, smoke) == []


def test_neither_nohup_nor_output_that_nobody_reads_stops_a_training(smoke: Path, retraining: Path) -> None:
    command = ["nohup", S4V, "stage", "finetuning", "sharegpt4v-7b"]
    nobody, output = os.pipe()
    os.close(nobody)
    process = subprocess.Popen(command, cwd=retraining, env=ENVIRONMENT, stderr=output)
    os.close(output)
    wait_until(lambda: steps(retraining) >= 2, 120)
    process.send_signal(signal.SIGHUP)
    assert process.wait() == 0
    assert differing(retraining, smoke) == []


STAGES = {  # the file that is removed from a finished run and rebuilt, and the command that is running then
    "two processes by torchrun": (
        "checkpoints/sharegpt4v-7b/finetuned/model.safetensors",
        "-u -m sharegpt4v.cli stage",
    ),
    "the crawler": ("data/manifests/web-landmark.parquet", "bin/img2dataset"),
}


def _any_holds(mark: str, words: str) -> bool:
    return any(words in command for command in processes_with(mark))


@pytest.mark.parametrize("stage", STAGES)
def test_snakemake_killed_alone_leaves_no_process(stage: str, smoke: Path, tmp_path: Path) -> None:
    target, command_at_work = STAGES[stage]
    folder, mark = copy_of(smoke, tmp_path / "run"), f"{MARK}={os.getpid()}"
    (folder / target).unlink()
    shutil.rmtree(folder / ".work/sources")
    environment = ENVIRONMENT | dict([mark.split("=")])
    with open(tmp_path / "said.txt", "w") as said:
        command = snakemake(folder, target, config=["compute={processes_per_node: 2}"])
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=said, stderr=said)
    at_work = partial(_any_holds, mark, command_at_work)
    try:
        wait_until(at_work, 120, (tmp_path / "said.txt").read_text)
        time.sleep(1.0)  # somewhere in its imports or its work
        assert process.poll() is None and at_work(), (tmp_path / "said.txt").read_text()
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not processes_with(mark), SECONDS, lambda: str(processes_with(mark)))
    assert not temporary_files(folder)


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[int]:
    """A process that works in a folder for a Snakemake that is gone, and does not look for it."""
    told = "from sharegpt4v import lifetime as l; l.end_others_with_this(); import os; print(os.environ[l.VARIABLE])"
    gone = run([sys.executable, "-c", told]).stdout.strip()
    work = "import signal, time; signal.signal(15, lambda *_: exit(3)); print(1, flush=True); time.sleep(99)"
    process = subprocess.Popen(
        [sys.executable, "-c", work], cwd=tmp_path, env=ENVIRONMENT | {VARIABLE: gone}, stdout=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline()
    yield process.pid
    assert process.wait(30) == 3


def test_the_next_run_ends_what_an_earlier_one_left_and_removes_its_unfinished_files(
    orphan: int, tmp_path: Path
) -> None:
    assert leftover_processes(tmp_path) == [orphan] and leftover_processes(tmp_path / "other") == []
    left = [
        tmp_path / f"results/scores/.a.json.{orphan}.tmp",
        tmp_path / "checkpoints/.a.x1.unfinished/model.safetensors",
    ]
    kept = [
        tmp_path / f"results/.b.json.{os.getpid()}.tmp",
        tmp_path / ".work/sources/a/.b.7.tmp",
        tmp_path / "results/a.tmp",
    ]
    for path in (*left, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"unfinished")
    ended = run(snakemake(tmp_path, "data/mini/scenes.jsonl"))
    assert ended.returncode == 0, ended.stderr
    assert leftover_processes(tmp_path) == []
    assert [path for path in left if path.exists()] == [] and all(path.exists() for path in kept)
    remove_leftovers(tmp_path / "nothing")
