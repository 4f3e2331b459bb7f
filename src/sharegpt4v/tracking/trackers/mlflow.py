"""MLflow, filled by batches.

A run is shown once: a tag holds the hash of all that is to be shown, and is looked up first. MLflow is imported inside
the functions, because that takes seconds.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sharegpt4v.tracking.tracker import Run, Tracker

KEY = "sharegpt4v.key"
IDENTITY = "sharegpt4v.identity"
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
LONGEST_VALUE = 250
SQLITE = "sqlite:///"


def upgrade_store(uri: str) -> None:
    """Make the tables of an SQLite store that is not there yet; other stores are left alone."""
    if not uri.startswith(SQLITE):
        return
    path = Path(uri.removeprefix(SQLITE))
    with _locked(uri):
        if path.exists():
            return
        # Made aside and renamed: a kill in between would leave tables that MLflow refuses for ever.
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.unlink(missing_ok=True)
        _client(f"{SQLITE}{unfinished}").search_experiments(max_results=1)
        unfinished.rename(path)


class MLflow(Tracker):
    """An experiment in an open MLflow store."""

    title = "MLflow"

    def __init__(self, uri: str, experiment: str) -> None:
        upgrade_store(uri)
        with ExitStack() as stack:
            stack.enter_context(_locked(uri))
            self._open(uri, experiment)
            self._stack = stack.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self, uri: str, experiment: str) -> None:
        self.client = _client(uri)
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
        metrics = list(_metrics(run))
        known = self._tagged(IDENTITY, run.identity) if run.identity else []
        run_id = str(known[0].info.run_id) if known else self._create(run, key, parent)
        self._write(run_id, run, metrics)
        if known:
            self.client.set_tag(run_id, KEY, key)
        else:
            self.client.set_terminated(run_id, "FINISHED", end_time=round(run.time[1] * 1000) if run.time else None)
        return run_id

    def _tagged(self, tag: str, value: str) -> list[Any]:
        return list(self.client.search_runs([self.experiment_id], f"tags.`{tag}` = '{value}'"))

    def _create(self, run: Run, key: str, parent_id: str | None) -> str:
        tags = {KEY: key, "stage": run.stage}
        if run.identity:
            tags[IDENTITY] = run.identity
        if parent_id:
            tags["mlflow.parentRunId"] = parent_id
        started = round(run.time[0] * 1000) if run.time else None
        created = self.client.create_run(self.experiment_id, start_time=started, run_name=run.name, tags=tags)
        return str(created.info.run_id)

    def _write(self, run_id: str, run: Run, metrics: Sequence[Any]) -> None:
        from mlflow.entities import Param, RunTag

        if run.tags:
            self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in run.tags.items()])
        params = [Param(name, value) for name, value in flatten(run.settings()).items()]
        for start in range(0, len(params), PARAMS_PER_BATCH):
            self.client.log_batch(run_id, params=params[start : start + PARAMS_PER_BATCH])
        for start in range(0, len(metrics), METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH])
        if params:  # in full, where a parameter may be cut
            self.client.log_dict(run_id, run.settings(), "settings.json")
        for name, text in run.texts.items():
            self.client.log_text(run_id, text, name)
        for path in run.artifacts:
            self.client.log_artifact(run_id, str(path))


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


def _metrics(run: Run) -> Iterator[Any]:
    """Yield the numbers of a run as MLflow's metrics, timed by the records' last change: rows have no time."""
    from mlflow.entities import Metric

    now = int(max((record.stat().st_mtime for record in run.records), default=time.time()) * 1000)
    for point in run.points():
        yield Metric(_name(point.name), point.value, now, point.step)


def _name(text: str) -> str:
    """Return a name that MLflow takes."""
    return re.sub(r"[^\w. /-]", "_", text)


@contextmanager
def _locked(uri: str) -> Iterator[None]:
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


def _client(uri: str) -> Any:
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
