"""The record beside an artefact, and its provenance."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.provenance import hash_of, provenance
from sharegpt4v.record import Record
from tracked_runs import rows_of, write_rows


def test_record_is_in_the_file_at_once(tmp_path: Path) -> None:
    with Record(tmp_path / "stage" / "metrics.jsonl") as record:
        record.log({"step": 1, "loss": 2.5})
        assert rows_of(record.path) == [{"step": 1, "loss": 2.5}]
    assert rows_of(record.path) == [{"step": 1, "loss": 2.5}]


def test_resumed_run_leaves_the_record_of_one_that_never_stopped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Record(path) as record:
        for step in range(1, 11):
            record.log({"step": step, "loss": 0.1})
    with Record(path) as record:  # from a checkpoint after step 6
        for step in range(7, 13):
            record.log({"step": step, "loss": 0.2})
    assert [(row["step"], row["loss"]) for row in rows_of(path)] == [
        *((step, 0.1) for step in range(1, 7)),
        *((step, 0.2) for step in range(7, 13)),
    ]


def test_resuming_without_a_step_leaves_the_record_alone(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "metrics.jsonl", 3)
    with Record(path):
        pass
    assert len(rows_of(path)) == 3


def test_a_killed_run_loses_no_row_and_a_torn_line_goes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    code = (
        "import os, signal; from sharegpt4v.record import Record\n"
        f"record = Record({str(path)!r})\n"
        "for step in range(1, 51): record.log({'step': step})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert [row["step"] for row in rows_of(path)] == list(range(1, 51))
    with open(path, "a") as file:
        file.write('{"step": 51, "lo')
    with Record(path) as record:
        record.log({"step": 51})
    assert [row["step"] for row in rows_of(path)] == list(range(1, 52))


def test_broken_record_is_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nnonsense\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: not a row of a record"):
        Record(path).log({"step": 4})
    assert path.read_text() == '{"step": 1}\nnonsense\n{"step": 3}\n'


def test_provenance_is_the_same_for_the_same_work_and_differs_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("model")
    write_json(folder / "config.json", {"a": 1})
    write_json(folder / "deep" / "weights.json", [1, 2])
    Path("rows.json").write_text("[]")
    inputs = [folder, Path("rows.json")]

    def about(module: str = "sharegpt4v.training.stages", inputs: Any = inputs, **settings: Any) -> dict[str, Any]:
        return provenance("finetuning", settings, 0, inputs, module)

    first = about(learning_rate=2e-5, epochs=1)
    assert first["stage"] == "finetuning" and list(first["inputs"]) == ["model", "rows.json"]
    assert set(first) == {"stage", "seed", "config", "version", "code", "inputs"}  # no commit, no time
    assert about(epochs=1, learning_rate=2e-5, inputs=inputs[::-1]) == first
    (folder / ".weights.json.77.tmp").write_text("unfinished")
    (folder / "metrics.jsonl").write_text('{"loss": 3}')
    assert about(learning_rate=2e-5, epochs=1) == first
    assert about(learning_rate=1e-5, epochs=1)["config"] != first["config"]
    assert about("sharegpt4v.models.published", learning_rate=2e-5, epochs=1)["code"] != first["code"]
    (folder / "deep" / "weights.json").rename(folder / "weights.json")
    assert hash_of(folder) != first["inputs"]["model"]
    with pytest.raises(UserError, match="nothing: no such input"):
        about(inputs=[Path("nothing")])


def test_the_record_of_a_job_names_the_commit_and_whether_the_code_was_changed(tmp_path: Path) -> None:
    package = Path(str(sys.modules["sharegpt4v"].__file__)).parent
    code = "import json; from sharegpt4v.provenance import git_state; print(json.dumps(git_state()))"

    def state() -> tuple[Any, Any]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        return found["git_commit"], found["git_changed"]

    def git(*command: str) -> Any:
        options = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *options, *command], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    copy = tmp_path / "src" / "sharegpt4v"
    copy.mkdir(parents=True)
    for name in ("__init__", "errors", "files", "ledger", "locking", "provenance", "code_hash", "version"):
        (copy / f"{name}.py").write_bytes((package / f"{name}.py").read_bytes())
    assert state() == (None, None)
    git("init", "-q")
    assert state() == (None, None)
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert state() == (git("rev-parse", "HEAD"), False)
    (tmp_path / "notes.txt").write_text("not code")
    assert state() == (git("rev-parse", "HEAD"), False)
    (copy / "new.py").write_text("")
    assert state() == (git("rev-parse", "HEAD"), True)
