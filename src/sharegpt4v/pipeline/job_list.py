"""The list of a run's jobs, which the Snakefile writes when a run starts: `s4v status` shows what is to come."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.pipeline.stages import STAGES


@dataclass(frozen=True)
class ListedJob:
    """A job of the run: `item` is what it is about, empty where the stage is one job; `pending` was to be run."""

    stage: str
    item: str
    log: str
    pending: bool

    @property
    def name(self) -> str:
        """Its name, such as ``captions/00000-of-00002``."""
        return f"{self.stage}/{self.item}" if self.item else self.stage

    @property
    def arguments(self) -> list[str]:
        """What follows `s4v` in its command."""
        return ["stage", self.stage, *([self.item] if self.item else [])]


@dataclass(frozen=True)
class JobList:
    """A run: when it started (seconds since 1970), its Snakemake (host, process, logs), its jobs."""

    started: float
    host: str
    process: int
    logs: list[str]
    jobs: list[ListedJob]


def write_job_list(dag: Any, snakemake_logs: str | Sequence[str]) -> None:
    """Write the jobs of Snakemake's graph, whose own logs are given, into this folder."""
    logs = [snakemake_logs] if isinstance(snakemake_logs, str) else list(snakemake_logs)
    jobs = sorted(_listed(dag), key=lambda job: (list(STAGES).index(job.stage), job.item))
    listed = JobList(round(time.time(), 3), socket.gethostname(), os.getpid(), logs, jobs)
    write_json(layout.JOB_LIST, asdict(listed))


def _listed(dag: Any) -> Iterable[ListedJob]:
    for job in dag.jobs:
        # answers and scores of ablations have rules of their own, and are jobs of the same stages
        name = job.rule.name if job.rule.name in STAGES else job.rule.name.removeprefix("ablation_")
        if (stage := STAGES.get(name)) is not None:
            item = str(job.wildcards_dict[stage.item]) if stage.item else ""
            yield ListedJob(name, item, str(job.log[0]), bool(dag.needrun(job)))


def read_job_list(root: Path) -> JobList:
    """Return the list of the run in `root`; a `UserError` where none was started."""
    path = root / layout.JOB_LIST
    if not path.exists():
        raise UserError(f"{path}: no such file; expected a folder in which snakemake runs or has run; start it there")
    told = read_json(path)
    try:
        return JobList(**{**told, "jobs": [ListedJob(**job) for job in told["jobs"]]})
    except (TypeError, KeyError):
        raise UserError(f"{path}: not a list of jobs as this version writes it; start snakemake again") from None
