"""In which state each job of a run is, by the record that it writes when it starts and when it ends."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from sharegpt4v import layout
from sharegpt4v.job_record import read_record
from sharegpt4v.pipeline.failures import failed_logs
from sharegpt4v.pipeline.job_list import JobList, ListedJob

State = Literal["done", "running", "waiting", "failed", "stopped"]


@dataclass(frozen=True)
class Job:
    """A job, its state, and the record of its last try, empty where it has not run since the run started."""

    listed: ListedJob
    state: State
    record: Mapping[str, Any]

    @property
    def seconds(self) -> float | None:
        """How long it took, where it is done and has a record."""
        return self.record.get("seconds") if self.state == "done" else None


def jobs_of(root: Path, run: JobList) -> list[Job]:
    """Return the jobs of a run in `root`, each with its state."""
    failed = set(failed_logs("".join(_text(root / log) for log in run.logs)))
    return [_job(root, run, listed, listed.log in failed) for listed in run.jobs]


def _job(root: Path, run: JobList, listed: ListedJob, failed: bool) -> Job:
    record = read_record(root / layout.JOBS, listed.arguments)
    if not listed.pending:
        return Job(listed, "done", record)
    if record.get("started", 0) < run.started:  # of an earlier run
        return Job(listed, "failed" if failed else "waiting", {})
    if "seconds" in record:
        return Job(listed, "done", record)
    if record.get("outcome") == "failed":
        return Job(listed, "failed", record)
    if record.get("outcome") == "stopped" or not may_be_alive(record, record["started"]):
        return Job(listed, "failed" if failed else "stopped", record)
    return Job(listed, "running", record)


def may_be_alive(process: Mapping[str, Any], started: float) -> bool:
    """Whether a process that was there at a time may still be: of another machine that is not known, so it may."""
    if process.get("host") != socket.gethostname():
        return True
    try:
        return bool(psutil.Process(process["process"]).create_time() <= started + 1)
    except psutil.Error:
        return False


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ""
