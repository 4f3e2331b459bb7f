"""`s4v status`: what is done, runs, waits and has failed, from the files of a run, of which it changes none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import ENVIRONMENT, copy_of
from conftest import run as run_command
from sharegpt4v.config import load
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.job_record import recorded
from sharegpt4v.ledger import Ledger
from sharegpt4v.status.money import money_line
from sharegpt4v.status.page import status_text
from sharegpt4v.status.progress import progress_in

S4V = (sys.executable, "-m", "sharegpt4v.cli")
SHARDS = [f"0000{number}-of-00003" for number in range(3)]


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_a_finished_run_is_done_and_nothing_is_changed(smoke: Path) -> None:
    before = files_in(smoke)
    started = time.monotonic()
    ended = run_command([*S4V, "status", str(smoke), "--watch"])  # over at once
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - started < 20  # of a busy machine; a second of an idle one
    assert files_in(smoke) == before
    count = len(json.loads((smoke / ".work/jobs.json").read_text())["jobs"])
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("Miniature: ")
    assert lines[1] == f"smoke: {count} of {count} jobs done, all done, in {smoke}"[: len(lines[1]) - 1] + lines[1][-1]
    assert "captions 3" in ended.stdout and len(lines) < 10


def test_a_folder_without_a_run_is_an_error_in_a_line(tmp_path: Path) -> None:
    ended = run_command([*S4V, "status", str(tmp_path)])
    assert ended.returncode == 1 and ended.stdout == "" and ended.stderr.count("\n") == 1
    assert "expected a folder in which snakemake runs" in ended.stderr


@pytest.fixture
def underway(smoke: Path, tmp_path: Path) -> Path:
    """A run that this process carries out: captions have begun, all that follows them waits."""
    folder = copy_of(smoke, tmp_path / "run")
    listed: dict[str, Any] = json.loads((folder / ".work/jobs.json").read_text())
    first = [job["stage"] for job in listed["jobs"]].index("captions")
    jobs = [job | {"pending": number >= first} for number, job in enumerate(listed["jobs"])]
    write_json(
        folder / ".work/jobs.json", listed | {"jobs": jobs, "started": round(time.time(), 3), "process": os.getpid()}
    )
    return folder


def job(folder: Path, shard: str, code: str) -> subprocess.CompletedProcess[str]:
    """Carry out `code` as the job of a shard, in a process of its own."""
    inside = "import os\nfrom sharegpt4v.job_record import recorded\n"
    inside += f"with recorded({['stage', 'captions', shard]}, None):\n {code}"
    return run_command([sys.executable, "-c", inside], folder, ENVIRONMENT | {"S4V_JOBS": "logs/jobs"})


def test_running_failed_killed_and_waiting_jobs_are_told_apart(underway: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = underway / "logs/captions" / f"{SHARDS[0]}.log"
    lines = [f"captions {SHARDS[0]} {done}/40 images, 2.0 images/s, {20 - done // 2} s left" for done in (8, 10)]
    log.write_text("\r".join(lines) + "\n")
    monkeypatch.setenv("S4V_JOBS", str(underway / "logs/jobs"))
    with recorded(["stage", "captions", SHARDS[0]], None):
        assert job(underway, SHARDS[1], "raise SystemExit(1)").returncode == 1
        (underway / f"logs/captions/{SHARDS[1]}.log").write_text("Traceback\nValueError: \x1b[2J of an image\n")
        assert job(underway, SHARDS[2], f"os.kill(os.getpid(), {signal.SIGKILL})").returncode == -signal.SIGKILL
        text = status_text(underway, 100)
    assert f"running captions/{SHARDS[0]}:  25%  10/40 images, 2.0 images/s, 15 s left" in text
    assert f"failed captions/{SHARDS[1]}: ValueError: \\x1b[2J of an image" in text
    assert f"    all of it: {underway}/logs/captions/{SHARDS[1]}.log" in text
    [row] = [line.split() for line in text.splitlines() if line.startswith("captions ")]
    assert row[:6] == ["captions", "0/3", "shards", "1", "1", "1"]  # running, waiting (killed), failed
    assert "waiting: pretraining_corpus, " in text and "done: synthetic_world, source 17, " in text
    assert (
        max(len(line) for line in text.splitlines() if "all of it" not in line) <= 100 and len(text.splitlines()) < 20
    )
    assert f"captions/{SHARDS[0]}" not in status_text(underway, 100)  # it is done now
    text = status_text(underway, 100)
    [row] = [line.split() for line in text.splitlines() if line.startswith("captions ")]
    assert row[:3] == ["captions", "1/3", "shards"] and " s ago on " in text


def test_a_run_that_was_killed_is_not_said_to_run(underway: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    listed = json.loads((underway / ".work/jobs.json").read_text())
    write_json(underway / ".work/jobs.json", listed | {"process": int(gone.stdout)})
    assert "not running; the same snakemake command resumes" in status_text(underway, 100)
    write_json(underway / ".work/jobs.json", listed | {"process": int(gone.stdout), "host": "another-machine"})
    assert "ago on another-machine" in status_text(underway, 100)


def test_a_job_that_never_began_has_failed_by_snakemakes_own_log(underway: Path) -> None:
    listed = json.loads((underway / ".work/jobs.json").read_text())
    log = f"logs/captions/{SHARDS[0]}.log"
    (underway / "snakemake.log").write_text(
        f"Error in rule captions:\n    log: {log} (check log file(s) for error details)\n"
    )
    (underway / log).unlink()
    write_json(underway / ".work/jobs.json", listed | {"logs": ["snakemake.log"]})
    assert f"failed captions/{SHARDS[0]}: it left no log" in status_text(underway, 100)


@pytest.mark.parametrize(
    ("line", "share", "left"),
    [
        ("captions 1 1,200/30,000 images, 45.1 images/s, 10 min 38 s left", 0.04, 638),
        ("checkpoints/a 42/84, loss 4.736, 1,657.8 samples/s, 81,893 tok/s (96% real), 5 h 02 min left", 0.5, 18120),
        ("vision tower 8/8 steps, 12.2 steps/s, 0 s left, loss 2.862", 1, 0),
    ],
)  # fmt: skip
def test_progress_is_read_as_jobs_print_it(line: str, share: float, left: float) -> None:
    progress = progress_in(["first", line, "a warning of a library"])
    assert progress is not None and (progress.share, progress.seconds_left) == (share, left)
    assert progress_in(["nothing 3 of 4"]) is None


def test_money_is_shown_beside_its_limit(underway: Path) -> None:
    budget = "{limit_usd: 50, prompt_usd_per_million: 1000, completion_usd_per_million: 0}"
    config = load(underway / ".work/config.json")
    assert money_line(underway, config) == ""  # nobody asks for money here
    teacher = config.teacher.model_copy(update={"budget": budget_of(budget)})
    for path in (underway / ".work/seed_captions").glob("*.jsonl"):
        path.unlink()
    with Ledger(underway / ".work/seed_captions/replies.jsonl") as ledger:
        ledger.append("a", {"model": teacher.model, "prompt_tokens": 1500, "completion_tokens": 9, "reservation": "r"})
    told = money_line(underway, config.model_copy(update={"teacher": teacher}))
    assert told.startswith("money: seed_captions $1.50 of $50.00")


def budget_of(text: str) -> Any:
    import yaml

    from sharegpt4v.config.endpoint import Budget

    return Budget(**yaml.safe_load(text))


def test_watching_needs_some_seconds(underway: Path) -> None:
    ended = run_command([*S4V, "status", str(underway), "--watch", "0"])
    assert ended.returncode == 1 and ended.stderr == "--watch 0: expected more than 0 seconds\n"
    with pytest.raises(UserError):
        status_text(underway / "logs", 100)
