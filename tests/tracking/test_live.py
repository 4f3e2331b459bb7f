"""A training in MLflow while it runs: within seconds, once, through kills, and the same run to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from sharegpt4v.config import load
from sharegpt4v.files import read_json
from sharegpt4v.follower import job_key, training_key
from sharegpt4v.tracking.tracker import Run, track
from small_training import RECIPE, World, world  # noqa: F401  (a fixture)
from tracked_runs import rows_of, write_rows

CHILD = """
import json, sys
from pathlib import Path
import sharegpt4v.follower as follower
from sharegpt4v.config.tracking import Tracking
from sharegpt4v.config.training import Recipe
from sharegpt4v.training.stages import train_stage
follower.SECONDS_BEFORE_TRAINING = 0  # a training of seconds would be shown at the end
tower, llm, rows, data, recipe, uri = sys.argv[1:]
train_stage(
    (Path(tower), Path(llm)), Path(rows), Path(data), Path("out"), Recipe(**json.loads(recipe)), 3, Path("work"),
    "finetuning", speeds=Path("speeds.jsonl"), tracking=Tracking(uri=uri, experiment="test"),
)
"""


@pytest.fixture
def store(tmp_path: Path) -> Any:
    import mlflow

    from sharegpt4v.tracking.trackers.mlflow import upgrade_store

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    upgrade_store(uri)
    return mlflow.MlflowClient(tracking_uri=uri)


def start(world: World, folder: Path, **recipe: Any) -> subprocess.Popen[bytes]:
    settings = json.dumps(RECIPE | recipe)
    arguments = [*world[0], world[2] / "rows.json", world[2] / "data", settings, f"sqlite:///{folder}/mlflow.db"]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, arguments)], cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def the_run(store: Any) -> Any:
    experiment = store.get_experiment_by_name("test")
    runs = store.search_runs([experiment.experiment_id]) if experiment else []
    assert len(runs) <= 1
    return runs[0] if runs else None


def steps(store: Any, name: str = "loss") -> list[int]:
    run = the_run(store)
    return [point.step for point in store.get_metric_history(run.info.run_id, name)] if run else []


def eventually(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def test_a_training_is_shown_while_it_runs_and_once_when_it_was_killed(
    world: World, tmp_path: Path, store: Any
) -> None:
    killed = start(world, tmp_path, epochs=10_000, checkpoint_minutes=0.01)
    try:
        eventually(lambda: len(steps(store)) > 10, "no rows in MLflow")
        assert killed.poll() is None and the_run(store).info.status == "RUNNING"
        eventually(lambda: list(tmp_path.glob("work/*/states/step-*/rank-0-of-1.safetensors")), "no state")
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    eventually(lambda: the_run(store).info.status == "KILLED", "whoever followed does not see the end")
    [record] = tmp_path.glob("work/*/metrics.jsonl")
    before = the_run(store).info.run_id
    assert steps(store) == [row["step"] for row in rows_of(record)]  # no row is lost

    resumed = start(world, tmp_path, epochs=10_000, checkpoint_minutes=0.01)
    try:
        eventually(lambda: the_run(store).info.status == "RUNNING", "not shown again")
        shown = len(steps(store))
        eventually(lambda: len(steps(store)) > shown, "no new rows")
    finally:
        resumed.send_signal(signal.SIGTERM)
        assert resumed.wait(60) != 0
    assert the_run(store).info.run_id == before and the_run(store).info.status == "KILLED"
    for name in ("loss", "samples_per_second", "waiting"):
        assert steps(store, name) == list(range(1, len(rows_of(record)) + 1))


def test_a_training_that_ended_is_completed_in_the_same_run(world: World, tmp_path: Path, store: Any) -> None:
    assert start(world, tmp_path, epochs=12).wait(100) == 0
    live = the_run(store)
    count = len(rows_of(tmp_path / "speeds.jsonl"))
    assert live.info.status == "FINISHED" and steps(store) == list(range(1, count + 1))
    run = Run(
        name="finetuning/a",
        stage="finetuning",
        parent="whole",
        params={"epochs": 12},
        records=[tmp_path / "out/metrics.jsonl", tmp_path / "speeds.jsonl"],
        metrics={"seconds": 1.0},
        live=training_key(tmp_path / "out", read_json(tmp_path / "out/provenance.json")),
    )
    for _ in range(2):
        whole = Run(name="whole", stage="pipeline")
        shown = track(f"sqlite:///{tmp_path}/mlflow.db", "test", [whole, run])
        assert shown.complete and shown.runs["finetuning/a"] == live.info.run_id
    done = store.get_run(live.info.run_id)
    assert (done.info.run_name, done.info.status) == ("finetuning/a", "FINISHED")
    assert done.data.tags["mlflow.parentRunId"] == shown.runs["whole"] and done.data.metrics["seconds"] == 1
    speeds = store.get_metric_history(live.info.run_id, "tokens_per_second")
    recorded = [(row["step"], row["tokens_per_second"]) for row in rows_of(tmp_path / "speeds.jsonl")]
    assert [(point.step, point.value) for point in speeds] == recorded


def test_a_run_that_was_left_half_completed_is_written_anew(tmp_path: Path, store: Any) -> None:
    from sharegpt4v.tracking.trackers.mlflow import MLflow

    uri, record = f"sqlite:///{tmp_path}/mlflow.db", write_rows(tmp_path / "metrics.jsonl", 30)
    run = Run("a", "finetuning", records=[record], live="a training")
    with MLflow(uri, "test") as tracker:
        assert tracker.follow(run, "KILLED", None) == 30
        tracker._complete(the_run(store).info.run_id, run, run.key(), None)
        tracker.show(run, None)
    assert the_run(store).info.status == "FINISHED" and steps(store) == list(range(1, 31))


JOB = """
import signal, sys, time
import sharegpt4v.follower as follower
from pathlib import Path
from sharegpt4v.config import load
from sharegpt4v.verbs import stage
import sharegpt4v.stages.table as table
follower.SECONDS_BEFORE_JOB = 0
table.run = lambda config: time.sleep(float(sys.argv[3]))
options = __import__("argparse").Namespace(stage="table", config=Path(sys.argv[1]))
stage.config_of = lambda options: load(options.config, {"tracking": {"uri": sys.argv[2], "experiment": "test"}})
stage.run(options)
"""


def test_a_long_job_is_a_run_from_its_start_through_kills_to_its_end(tmp_path: Path, store: Any) -> None:
    config, uri = PROJECT / "config/smoke.yaml", f"sqlite:///{tmp_path}/mlflow.db"
    command = [sys.executable, "-c", JOB, str(config), uri]
    killed = subprocess.Popen([*command, "1000"], cwd=tmp_path)
    try:
        eventually(lambda: the_run(store), "no run in MLflow")
        assert killed.poll() is None and the_run(store).info.status == "RUNNING"
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    eventually(lambda: the_run(store).info.status == "KILLED", "whoever followed does not see the end")
    before = the_run(store).info.run_id
    assert subprocess.run([*command, "3"], cwd=tmp_path).returncode == 0
    assert the_run(store).info.run_id == before and the_run(store).info.status == "FINISHED"
    run = Run("table", "table", metrics={"seconds": 3.0}, live=job_key(tmp_path, "table", load(config)))
    assert track(uri, "test", [run]).runs == {"table": before} and the_run(store).data.metrics == {"seconds": 3}


def test_whoever_follows_says_once_that_a_store_is_broken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("this is no database, and long enough to be looked at as one " * 20)
    told: dict[str, Any] = {"uri": f"sqlite:///{tmp_path}/file", "experiment": "test", "stage": "s", "name": "n"}
    told |= {"live": "key", "records": [], "started": 1.0}
    command = [sys.executable, "-m", "sharegpt4v.tracking.live"]
    ended = subprocess.run(command, input=json.dumps(told) + "\ndone\n", capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("tracking: not shown in MLflow: while it runs: ")
