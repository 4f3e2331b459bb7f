"""MLflow as a view of what stands in files: it is filled by batches, and may break without any harm.

A run is shown once: a tag holds the hash of all that is to be shown, and is looked up first. MLflow is imported inside
the functions, because that takes seconds.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl, sha256_of
from sharegpt4v.ledger import key_of

KEY = "sharegpt4v.key"
IDENTITY = "sharegpt4v.identity"
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
LONGEST_VALUE = 250
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Run:
    """One run to be shown: its parameters, its curves (JSON-lines `records`), its single `metrics`, its files.

    `texts` are further files by name. `time` is when it began and ended, in seconds since 1970. Of those with the same
    `identity` there is one, which is brought up to date; without, there is one for each content.
    """

    name: str
    stage: str
    params: Mapping[str, Any] = field(default_factory=dict)
    records: Sequence[Path] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    time: tuple[float, float] | None = None
    identity: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return parameters and provenance together."""
        return {**self.params, "provenance": self.provenance} if self.provenance else dict(self.params)

    def key(self) -> str:
        """Return the hash of everything that is shown."""
        hashes = [(path.name, sha256_of(path)) for path in (*self.records, *self.artifacts)]
        content = [self.settings(), dict(self.metrics), hashes, dict(self.texts), dict(self.tags), self.time]
        return key_of(self.name, self.stage, self.identity, *content)


@dataclass(frozen=True)
class Shown:
    """Whether MLflow shows everything, and the id of each run that it shows, by name."""

    complete: bool = True
    runs: Mapping[str, str] = field(default_factory=dict)


def track(uri: str, experiment: str, parent: Run, runs: Iterable[Run]) -> Shown:
    """Show `runs` below the run `parent` in the MLflow store at `uri`; what is shown already is left as it is.

    Several processes may do so at once. A broken store is told in one line on
    standard error, a broken record in one line each; neither is ever an exception.
    """
    complete = True
    ids: dict[str, str] = {}
    try:
        upgrade_store(uri)
        with _locked(uri):
            store = _Store(uri, experiment)
            parent_id = ids[parent.name] = store.show(parent, None)
            for run in runs:
                try:
                    ids[run.name] = store.show(run, parent_id)
                except UserError as error:
                    complete = False
                    warn(str(error))
    except Exception as error:  # whatever it is: a view must not fail the pipeline
        warn(f"the store is broken, the records beside the artefacts are not: {type(error).__name__}: {error}")
        complete = False
    return Shown(complete, ids)


def warn(message: str) -> None:
    """Say in one line why MLflow does not show something."""
    message = re.sub(r"//[^/@\s]*@", "//", " ".join(message.split()))[:LONGEST_VALUE]  # no name and password
    print(f"tracking: not shown in MLflow: {message}", file=sys.stderr)


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


class _Store:
    """An experiment in an open MLflow store."""

    def __init__(self, uri: str, experiment: str) -> None:
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

    def show(self, run: Run, parent_id: str | None) -> str:
        """Write a run unless it is there; return its id. One that was left half-written is written anew."""
        key = run.key()
        for older in self._tagged(KEY, key):
            if older.info.status == "FINISHED":
                return str(older.info.run_id)
            self.client.delete_run(older.info.run_id)
        metrics = list(_metrics(run))
        known = self._tagged(IDENTITY, run.identity) if run.identity else []
        run_id = str(known[0].info.run_id) if known else self._create(run, key, parent_id)
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
    """Yield the numbers of a run as MLflow's metrics, timed by the records' last change: rows bear no time."""
    from mlflow.entities import Metric

    now = int(max((record.stat().st_mtime for record in run.records), default=time.time()) * 1000)
    for name, value in run.metrics.items():
        yield Metric(_name(name), value, now, 0)
    for record in run.records:
        for number, row in enumerate(read_jsonl(record), start=1):
            if not isinstance(row, dict):
                raise UserError(f"{record}, row {number}: {row!r}; expected numbers by name")
            for name, value in row.items():
                if name != "step" and isinstance(value, int | float):
                    yield Metric(_name(name), value, now, row.get("step", number))


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
