"""What a tracker shows of a pipeline: a run for the whole, one for each model, and one for each job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sharegpt4v import layout, lineage
from sharegpt4v.config import Config
from sharegpt4v.config.models import TrainedModel
from sharegpt4v.files import read_json
from sharegpt4v.follower import job_key, training_key
from sharegpt4v.ledger import key_of
from sharegpt4v.miniature import is_miniature, notice_of
from sharegpt4v.pipeline.rerun import value_at
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.provenance import git_state
from sharegpt4v.report.caption_page import caption_page, samples_in
from sharegpt4v.tracking.jobs import Job
from sharegpt4v.tracking.model_runs import model_params, run_params, score_metrics, training_params
from sharegpt4v.tracking.tracker import Run

SHOWN = (".csv", ".md", ".svg", ".png", ".html")
TABLES = ("*.csv", "*.md", "*.html", "captions/*.csv", "figures/**/*.svg", "figures/**/*.png")
RECORDED = ("command", "git_commit", "git_changed", "config", "slurm_job")
"""What of a job's record is its provenance."""
OF_MODEL = ("finetuning", "answers", "judgements", "scores", "submissions")
"""Stages whose jobs are about a model, and are shown below it."""


def pipeline_run(root: Path, config: Config, jobs: Sequence[Job] = ()) -> Run:
    """Return the run of the whole pipeline in `root`: every key of the config, tables and figures.

    It is the same one as long as folder, config and commit are, however often it was stopped. It lasted from the first
    start to the last end of its `jobs`.
    """
    settings = config.model_dump(mode="json")
    provenance = git_state() | {"config": key_of(settings)}
    results, lock = root / layout.RESULTS, root / "dvc.lock"
    return Run(
        name=config.name,
        stage="pipeline",
        params=run_params(config),
        settings=settings,
        artifacts=sorted({path for pattern in TABLES for path in results.glob(pattern)}),
        provenance=provenance,
        tags=_tags(root, config) | ({"dvc_lock": _md5(lock)} if lock.exists() else {}),
        time=_time_of(jobs),
        identity=key_of(str(root.resolve()), provenance),
    )


def model_run(model: TrainedModel, jobs: Iterable[Job], root: Path, config: Config) -> Run:
    """Return the run of a model, a row of the table: its scores, and what tells it from the others.

    Below it are its `jobs`, such as its fine-tuning with the curves, from whose first start to whose last end it lasts.
    It stays the same run, and its scores are brought up to date, until its checkpoint is another one.
    """
    params, checkpoint = model_params(model, config), root / lineage.finished(model) / "provenance.json"
    return Run(
        name=model.name,
        stage="model",
        params=params,
        metrics=score_metrics(root, model.name),
        tags=_tags(root, config),
        time=_time_of(jobs),
        identity=key_of(
            str(root.resolve()), model.name, params, read_json(checkpoint) if checkpoint.exists() else None
        ),
    )


def is_of(job: Job, model: str) -> bool:
    """Whether a job is about a model."""
    return job.stage in OF_MODEL and Path(job.name).name == model


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
    provenance |= {name: value for name, value in job.record.items() if name in RECORDED and value is not None}
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
        metrics=job.timings | (score_metrics(root, Path(job.name).name, errors=True) if job.stage == "scores" else {}),
        artifacts=[root / path for path in job.outputs if path.suffix in SHOWN],
        texts={"captions.html": caption_page(samples, root / layout.DATA, notice_of(config))} if samples else {},
        provenance=provenance,
        tags=_tags(root, config),
        time=_time_of([job]),
        live=live,
    )


def _time_of(jobs: Iterable[Job]) -> tuple[float, float] | None:
    """Return when the first of the jobs began and the last ended, by their records; None where there are none."""
    times = [(job.record["started"], job.record["seconds"]) for job in jobs if "seconds" in job.record]
    return (min(start for start, _ in times), max(start + seconds for start, seconds in times)) if times else None


def _tags(root: Path, config: Config) -> dict[str, str]:
    """What is to be seen of a run beside its name; MLflow shows the note above the run of a miniature."""
    note = {"miniature": "true", "mlflow.note.content": notice_of(config)} if is_miniature(config) else {}
    return {"folder": str(root.resolve()), **note}


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
