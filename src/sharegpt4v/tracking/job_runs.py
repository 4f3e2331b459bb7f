"""What a tracker shows of a pipeline: a run for the whole, one for each model, and one for each job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.config import Config
from sharegpt4v.config.models import TrainedModel
from sharegpt4v.files import read_json
from sharegpt4v.follower import job_key, training_key
from sharegpt4v.ledger import key_of
from sharegpt4v.pipeline.rerun import value_at
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.provenance import git_state
from sharegpt4v.report.caption_page import caption_page, samples_in
from sharegpt4v.tracking.jobs import Job
from sharegpt4v.tracking.model_runs import model_params, run_params, score_metrics, training_params
from sharegpt4v.tracking.tracker import Run

SHOWN = (".csv", ".md", ".svg", ".html")
TABLES = ("*.csv", "*.md", "*.svg", "*.html", "captions/*.csv", "figures/**/*.svg")
OF_MODEL = ("answers", "judgements", "scores", "submissions")
"""Stages whose jobs are about a model, and are shown below it."""


def pipeline_run(root: Path, config: Config, jobs: Sequence[Job] = ()) -> Run:
    """Return the run of the whole pipeline in `root`: every key of the config, tables and figures.

    It is the same one as long as folder, config and commit are, however often it was stopped. It lasted from the first
    start to the last end of its `jobs`.
    """
    settings = config.model_dump(mode="json")
    provenance = git_state() | {"config": key_of(settings)}
    results, lock = root / layout.RESULTS, root / "dvc.lock"
    times = [time for job in jobs if (time := time_of(job.record))]
    return Run(
        name=config.name,
        stage="pipeline",
        params=run_params(config),
        settings=settings,
        artifacts=sorted({path for pattern in TABLES for path in results.glob(pattern)}),
        provenance=provenance,
        tags=_folder(root) | ({"dvc_lock": _md5(lock)} if lock.exists() else {}),
        time=(min(start for start, _ in times), max(end for _, end in times)) if times else None,
        identity=key_of(str(root.resolve()), provenance),
    )


def model_run(model: TrainedModel, training: Job | None, root: Path, config: Config) -> Run:
    """Return the run of a model: its scores, and the curves and the time of its `training`, where it has one here.

    It stays the same one, and its scores are brought up to date, as long as the model is the same.
    """
    run = job_run(training, root, config) if training else Run(model.name, "published", tags=_folder(root))
    params = model_params(model, config)
    return replace(
        run,
        name=model.name,
        parent=None,
        params=params,
        metrics={**run.metrics, **score_metrics(root, model.name)},
        identity=key_of(str(root.resolve()), model.name, params, run.live),
    )


def job_run(job: Job, root: Path, config: Config) -> Run:
    """Return the run of one job: what it depended on, how long it took, and what there is to see of what it made.

    Inputs and outputs are given by their MD5, the name by which DVC keeps a file. What cannot be read is a `UserError`.
    """
    folders = sorted({path.parent for path in job.outputs})
    records = [file for folder in folders for file in (folder / "metrics.jsonl", layout.speeds_of(folder))]
    about = [root / folder / "provenance.json" for folder in folders if (root / folder / "provenance.json").exists()]
    provenance: dict[str, Any] = read_json(about[0]) if about else {}
    trained = STAGES[job.stage].device == "training" and about
    live = training_key(about[0].parent, provenance) if trained else job_key(root, job.name, config)
    provenance |= {name: value for name, value in job.record.items() if value is not None}
    provenance |= {"inputs": _hashes(root, job.inputs), "outputs": _hashes(root, job.outputs)}
    samples = samples_in(job.outputs, root)
    settings = _settings(job, config) | (_how_scored(root, job.outputs) if job.stage == "scores" else {})
    return Run(
        name=job.name,
        stage=job.stage,
        parent=Path(job.name).name if job.stage in OF_MODEL else config.name,
        params=training_params(job.stage, config),
        settings=settings,
        records=[root / record for record in records if (root / record).exists()],
        metrics=job.timings,
        artifacts=[root / path for path in job.outputs if path.suffix in SHOWN],
        texts={"captions.html": caption_page(samples, root / layout.DATA)} if samples else {},
        provenance=provenance,
        tags=_folder(root),
        time=time_of(job.record),
        live=live,
    )


def time_of(record: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return when a job began and ended, by its record; None where it left none."""
    started, seconds = record.get("started"), record.get("seconds")
    return None if started is None or seconds is None else (started, started + seconds)


def _folder(root: Path) -> dict[str, str]:
    return {"folder": str(root.resolve())}


def _settings(job: Job, config: Config) -> dict[str, Any]:
    """Return the part of the config that a job depended on, by key."""
    whole = config.model_dump(mode="json")
    found: dict[str, Any] = {}
    for key in STAGES[job.stage].config:
        named = key.partition(".{")[0]
        found[named] = value_at(whole, named.split("."), {})
    return found


def _how_scored(root: Path, scores: Iterable[Path]) -> dict[str, Any]:
    """Return how each score was taken: on which split, by which rules, and how many questions it rests on."""
    files = {path.stem: read_json(root / path) for path in scores}
    return {name: {key: score[key] for key in ("split", "scoring", "n")} for name, score in files.items()}


def _hashes(root: Path, paths: Sequence[Path]) -> Mapping[str, str]:
    folders = [path for path in paths if (root / path).is_dir()]
    inner = [file.relative_to(root) for path in folders for file in sorted((root / path).rglob("[!.]*"))]
    return {path.as_posix(): _md5(root / path) for path in [*paths, *inner] if (root / path).is_file()}


def _md5(path: Path) -> str:
    status = path.stat()
    return _md5_of(path, status.st_size, status.st_mtime_ns)


@cache
def _md5_of(path: Path, size: int, changed: int) -> str:
    """Hash a file once, however many jobs read it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
