"""What a tracker shows of a pipeline: a run for the whole, and one for each job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.config import Config
from sharegpt4v.evaluation.table import read_cells
from sharegpt4v.files import read_json
from sharegpt4v.ledger import key_of
from sharegpt4v.miniature import is_miniature, notice_of
from sharegpt4v.pipeline.rerun import value_at
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.provenance import git_state
from sharegpt4v.report.caption_page import caption_page, samples_in
from sharegpt4v.tracking.jobs import Job
from sharegpt4v.tracking.live import live_key
from sharegpt4v.tracking.tracker import Run

SHOWN = (".csv", ".md", ".svg", ".png", ".html")
ERROR = "standard error"  # before the name, so that a page sorted by name has the columns together
TABLES = ("*.csv", "*.md", "*.html", "captions/*.csv", "figures/**/*.svg", "figures/**/*.png")


def pipeline_run(root: Path, config: Config) -> Run:
    """Return the run of the whole pipeline in `root`: every key of the config, every score, tables and figures.

    It is the same one as long as folder, config and commit are, however often it was stopped.
    """
    settings = config.model_dump(mode="json")
    provenance = git_state() | {"config": key_of(settings)}
    metrics: dict[str, float] = {}
    for model in config.models:
        metrics |= _scores(root, model.name, f"{model.name}/")
    results = root / layout.RESULTS
    lock = root / "dvc.lock"
    return Run(
        name=config.name,
        stage="pipeline",
        params=settings,
        metrics=metrics,
        artifacts=sorted({path for pattern in TABLES for path in results.glob(pattern)}),
        provenance=provenance,
        tags=_tags(config) | ({"dvc_lock": _md5(lock)} if lock.exists() else {}),
        identity=key_of(str(root.resolve()), provenance),
    )


def job_run(job: Job, root: Path, config: Config) -> Run:
    """Return the run of one job: what it depended on, how long it took, and what there is to see of what it made.

    Inputs and outputs are given by their MD5, the name by which DVC keeps a file. What cannot be read is a `UserError`.
    """
    folders = sorted({path.parent for path in job.outputs})
    records = [file for folder in folders for file in (folder / "metrics.jsonl", layout.speeds_of(folder))]
    about = [root / folder / "provenance.json" for folder in folders if (root / folder / "provenance.json").exists()]
    provenance: dict[str, Any] = read_json(about[0]) if about else {}
    live = live_key(about[0].parent, provenance) if about else None
    provenance |= {name: value for name, value in job.record.items() if value is not None}
    started, seconds = provenance.pop("started", None), provenance.pop("seconds", None)
    provenance |= {"inputs": _hashes(root, job.inputs), "outputs": _hashes(root, job.outputs)}
    samples = samples_in(job.outputs, root)
    return Run(
        name=job.name,
        stage=job.stage,
        params=_settings(job, config) | (_how_scored(root, job.outputs) if job.stage == "scores" else {}),
        records=[root / record for record in records if (root / record).exists()],
        metrics=job.timings | (_scores(root, job.outputs[0].parent.name) if job.stage == "scores" else {}),
        artifacts=[root / path for path in job.outputs if path.suffix in SHOWN],
        texts={"captions.html": caption_page(samples, root / layout.DATA, notice_of(config))} if samples else {},
        provenance=provenance,
        tags=_tags(config),
        time=(started, started + seconds) if started and seconds is not None else None,
        live=live,
    )


def _tags(config: Config) -> dict[str, str]:
    """What is to be seen of a run of the miniature beside its name; MLflow shows the note above the run."""
    return {"miniature": "true", "mlflow.note.content": notice_of(config)} if is_miniature(config) else {}


def _settings(job: Job, config: Config) -> dict[str, Any]:
    """Return the part of the config that a job depended on, by key."""
    whole = config.model_dump(mode="json")
    found: dict[str, Any] = {}
    for key in STAGES[job.stage].config:
        named = key.partition(".{")[0]
        found[named] = value_at(whole, named.split("."), {})
    return found


def _scores(root: Path, model: str, prefix: str = "") -> dict[str, float]:
    """Return the scores of a model by column of the table, and their standard errors."""
    cells = read_cells(root / layout.SCORES, model)
    scores = {f"{prefix}{name}": cell.value for name, cell in cells.items()}
    return scores | {f"{ERROR}/{prefix}{name}": cell.stderr for name, cell in cells.items() if cell.stderr is not None}


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
