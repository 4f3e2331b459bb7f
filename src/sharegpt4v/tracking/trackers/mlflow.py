"""MLflow, filled by batches.

A run is shown once: a tag holds the hash of all that is to be shown, and is looked up first. A job that runs has
another tag until it is completed. MLflow is imported inside the functions, because that takes seconds.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sharegpt4v.files import read_jsonl
from sharegpt4v.tracking.tracker import Point, Run, Status, Tracker

KEY = "sharegpt4v.key"
IDENTITY = "sharegpt4v.identity"
LIVE = "sharegpt4v.live"
"""On a run that was followed and is not completed."""
METRICS_PER_BATCH = 1000
LONGEST_VALUE = 250
SQLITE = "sqlite:///"


def upgrade_store(uri: str) -> None:
    """Make the tables of an SQLite store that is not there yet; other stores are left alone."""
    if not uri.startswith(SQLITE):
        return
    path = Path(uri.removeprefix(SQLITE))
    with locked(uri):
        if path.exists():
            return
        # Made aside and renamed: a kill in between would leave tables that MLflow refuses for ever.
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.unlink(missing_ok=True)
        client_of(f"{SQLITE}{unfinished}").search_experiments(max_results=1)
        unfinished.rename(path)


class MLflow(Tracker):
    """An experiment in an open MLflow store."""

    title = "MLflow"

    def __init__(self, uri: str, experiment: str) -> None:
        upgrade_store(uri)
        with ExitStack() as stack:
            stack.enter_context(locked(uri))
            self._open(uri, experiment)
            self._stack = stack.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self, uri: str, experiment: str) -> None:
        self.client = client_of(uri)
        found = self.client.get_experiment_by_name(experiment)
        if found:
            self.experiment_id = found.experiment_id
        else:
            self.experiment_id = self.client.create_experiment(
                experiment,
                artifact_location=_artifacts(uri),
                tags={"mlflow.experimentKind": "custom_model_development"},
            )

    def show(self, run: Run, parent: str | None) -> str:
        """Write a run unless it is there; return its id. One that was left half-written is written anew."""
        key = run.key()
        for older in self._tagged(KEY, key):
            if older.info.status == "FINISHED":
                return str(older.info.run_id)
            self.client.delete_run(older.info.run_id)
        changed = max((record.stat().st_mtime for record in run.records), default=time.time())
        metrics = _metrics(run.curves(), round(changed * 1000))
        known = self._tagged(IDENTITY, run.identity) if run.identity else []
        known = known or (self._tagged(LIVE, run.live) if run.live else [])
        if known:
            run_id = self._complete(str(known[0].info.run_id), run, key, parent)
            shown = self._points(run_id, {metric.key for metric in metrics})
            metrics = [metric for metric in metrics if (metric.key, metric.step) not in shown]
        else:
            run_id = self._create(run, {KEY: key}, parent)
        single = (Point(name, value, 0) for name, value in run.metrics.items())
        self._write(run_id, run, [*metrics, *_metrics(single, round(time.time() * 1000))])
        self.client.set_terminated(run_id, "FINISHED", end_time=round(run.time[1] * 1000) if run.time else None)
        return run_id

    def follow(self, run: Run, status: Status, last: int | None) -> int:
        """Show a job that runs, and its new rows: those of its steps that are in all of its records."""
        # Asked first: rows that come while the records are read are for the next time.
        whole = min((max((row["step"] for row in read_jsonl(record)), default=0) for record in run.records), default=0)
        points = list(run.points())
        known = self._tagged(LIVE, str(run.live))
        run_id = str(known[0].info.run_id) if known else self._create(run, {LIVE: str(run.live)}, None)
        if last is None:
            last = max((step for _, step in self._points(run_id, {point.name for point in points})), default=0)
            self.client.update_run(run_id, status="RUNNING")
        now = round(time.time() * 1000)
        self._log(run_id, _metrics(sorted((p for p in points if last < p.step <= whole), key=lambda p: p.step), now))
        if status != "RUNNING":
            self.client.set_terminated(run_id, status)
        return max(last, whole)

    def _points(self, run_id: str, names: Iterable[str]) -> set[tuple[str, int]]:
        """Return the names and steps of the points that a run shows of some metrics."""
        return {(name, one.step) for name in names for one in self.client.get_metric_history(run_id, _name(name))}

    def _tagged(self, tag: str, value: str) -> list[Any]:
        return list(self.client.search_runs([self.experiment_id], f"tags.`{tag}` = '{value}'"))

    def _complete(self, run_id: str, run: Run, key: str, parent_id: str | None) -> str:
        """Make a run that is there one that is written anew if this does not come to its end."""
        self.client.update_run(run_id, status="RUNNING", name=run.name)
        tags = self.client.get_run(run_id).data.tags
        if LIVE in tags:
            self.client.delete_tag(run_id, LIVE)
        for name, value in {KEY: key, IDENTITY: run.identity}.items():
            if value:
                self.client.set_tag(run_id, name, value)
        if parent_id:
            self.client.set_tag(run_id, "mlflow.parentRunId", parent_id)
        return run_id

    def _create(self, run: Run, tags: dict[str, str], parent_id: str | None) -> str:
        tags = {**tags, "stage": run.stage}
        if run.identity:
            tags[IDENTITY] = run.identity
        if parent_id:
            tags["mlflow.parentRunId"] = parent_id
        started = round(run.time[0] * 1000) if run.time else None
        created = self.client.create_run(self.experiment_id, start_time=started, run_name=run.name, tags=tags)
        return str(created.info.run_id)

    def _write(self, run_id: str, run: Run, metrics: Sequence[Any]) -> None:
        from mlflow.entities import Param, RunTag

        tags = [RunTag(name, value) for name, value in (_tags(run.provenance) | dict(run.tags)).items()]
        params = [Param(name, value) for name, value in flatten(run.params).items()]
        self.client.log_batch(run_id, tags=tags, params=params)
        self._log(run_id, metrics)
        for name, whole in {"settings.json": run.settings, "provenance.json": run.provenance}.items():
            if whole:
                self.client.log_dict(run_id, dict(whole), name)
        for name, text in run.texts.items():
            self.client.log_text(run_id, text, name)
        for path in run.artifacts:
            self.client.log_artifact(run_id, str(path))

    def _log(self, run_id: str, metrics: Sequence[Any]) -> None:
        for start in range(0, len(metrics), METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH])


def _tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return what MLflow knows a place for, and the number of a job of Slurm, by which one looks for it."""
    names = {"git_commit": "mlflow.source.git.commit", "command": "mlflow.source.name", "slurm_job": "slurm_job"}
    return {tag: str(provenance[name]) for name, tag in names.items() if name in provenance}


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as MLflow parameters: ``{"teacher": {"model": "m"}}`` gives ``{"teacher.model": "m"}``.

    Long values are cut at 250 characters, which every kind of store takes.
    """
    flat: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{prefix}{_name(key)}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            flat[name] = text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
    return flat


def _metrics(points: Iterable[Point], milliseconds: int) -> list[Any]:
    """Return points as MLflow's metrics at one time: rows have none."""
    from mlflow.entities import Metric

    return [Metric(_name(point.name), point.value, milliseconds, point.step) for point in points]


def _name(text: str) -> str:
    """Return a name that MLflow takes."""
    return re.sub(r"[^\w. /-]", "_", text)


@contextmanager
def locked(uri: str) -> Iterator[None]:
    """Let one process at a time use an SQLite store. Servers keep their own order."""
    if not uri.startswith(SQLITE):
        yield
        return
    folder = Path(uri.removeprefix(SQLITE)).parent / "mlruns"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _artifacts(uri: str) -> str | None:
    """Return the folder beside an SQLite store that takes its files; None leaves the choice to a server."""
    return str((Path(uri.removeprefix(SQLITE)).parent / "mlruns").absolute()) if uri.startswith(SQLITE) else None


def client_of(uri: str) -> Any:
    """Return a client that is quiet, reports to nobody and does not try a dead store again for an hour."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    }.items():
        os.environ.setdefault(name, value)
    import mlflow
    import mlflow.store.db.utils

    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    mlflow.store.db.utils.MAX_RETRY_COUNT = 3
    return mlflow.MlflowClient(tracking_uri=uri)


TRACKER = MLflow
