"""The screen that `s4v status` shows: one that fits a terminal of 80 to 120 columns and 40 lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from sharegpt4v import layout
from sharegpt4v.config import load
from sharegpt4v.miniature import notice_of
from sharegpt4v.pipeline.job_list import JobList, read_job_list
from sharegpt4v.progress import duration
from sharegpt4v.status.jobs import Job, jobs_of, may_be_alive
from sharegpt4v.status.money import money_line
from sharegpt4v.status.progress import progress_in, tail
from sharegpt4v.status.queue import queue_line
from sharegpt4v.terminal import plain_table

RUNNING_SHOWN = 8
FAILED_SHOWN = 4
PATH = "    all of it: "  # what follows is not cut off
SILENT_SECONDS = 120  # without a line in its log a job may be stuck
HEAD = ("stage", "jobs done", "running", "waiting", "failed", "took each", "left")


class Standing(NamedTuple):
    """A run as it stands: its list of jobs, and each of them with its state."""

    run: JobList
    jobs: list[Job]

    @property
    def is_over(self) -> bool:
        """Whether all jobs of the run are done, or its Snakemake is no more."""
        return not _alive(self.run) or all(job.state == "done" for job in self.jobs)


def standing_of(root: Path) -> Standing:
    """Return how the run in `root` stands; a `UserError` where there is no run."""
    run = read_job_list(root)
    return Standing(run, jobs_of(root, run))


def status_text(root: Path, width: int, standing: Standing | None = None, now: Callable[[], float] = time.time) -> str:
    """Return the screen for the run in `root`, as it stands, lines cut at `width`; a `UserError` without a run."""
    run, jobs = standing or standing_of(root)
    config = load(root / layout.RUN_CONFIG)
    stages = {job.listed.stage: [one for one in jobs if one.listed.stage == job.listed.stage] for job in jobs}
    parts = [notice_of(config), f"{config.name}: {_head(run, jobs, now())}, in {root.resolve()}"]
    parts += [
        _named("done", stages, "done", width),
        *_table(root, stages, now()),
        _named("waiting", stages, "waiting", width),
    ]
    parts += _running(root, jobs, now())
    parts += _failed(root, jobs)
    slurm = any(job.record.get("slurm_job") for job in jobs)
    parts += [money_line(root, config), queue_line(root, slurm)]
    lines = [line for part in parts if part for line in part.splitlines()]
    return "\n".join(line if len(line) <= width or PATH in line else f"{line[: width - 1]}…" for line in lines)


def _alive(run: JobList) -> bool:
    return may_be_alive({"host": run.host, "process": run.process}, run.started)


def _head(run: JobList, jobs: Sequence[Job], now: float) -> str:
    done = sum(job.state == "done" for job in jobs)
    if done == len(jobs):
        how = "all done"
    elif _alive(run):
        how = f"started {duration(now - run.started)} ago on {run.host}"
    else:
        how = "not running; the same snakemake command resumes"
    return f"{done:,} of {len(jobs):,} jobs done, {how}"


def _named(title: str, stages: dict[str, list[Job]], state: str, width: int) -> str:
    """Return what names the stages all of whose jobs are in a state."""
    names = [
        f"{name} {len(jobs):,}" if len(jobs) > 1 else name
        for name, jobs in stages.items()
        if all(job.state == state for job in jobs)
    ]
    return fill(f"{title}: {', '.join(names)}", width, subsequent_indent="    ") if names else ""


def _table(root: Path, stages: dict[str, list[Job]], now: float) -> Iterator[str]:
    """Yield the table of the stages that are under way."""
    rows = [
        _row(root, name, jobs, now)
        for name, jobs in stages.items()
        if len({job.state for job in jobs}) > 1 or jobs[0].state not in ("done", "waiting")
    ]
    if rows:
        yield plain_table([HEAD, *rows], right=range(1, len(HEAD)))


def _row(root: Path, stage: str, jobs: Sequence[Job], now: float) -> tuple[str, ...]:
    count = {
        state: sum(job.state == state for job in jobs) for state in ("done", "running", "waiting", "failed", "stopped")
    }
    took = [job.seconds for job in jobs if job.seconds is not None]
    each = sum(took) / len(took) if took else None
    left = _seconds_left(root, jobs, each, now)
    unit = " shards" if stage == "captions" else ""
    return (
        stage,
        f"{count['done']:,}/{len(jobs):,}{unit}",
        f"{count['running']:,}",
        f"{count['waiting'] + count['stopped']:,}",
        f"{count['failed']:,}",
        "" if each is None else duration(each),
        "" if left is None else duration(left),
    )


def _seconds_left(root: Path, jobs: Sequence[Job], each: float | None, now: float) -> float | None:
    """Return the seconds until a stage is done, as many jobs at a time as now; None where nothing says how long.

    A running job says it itself, of its current part; a waiting one takes as long as those that are done, or run.
    """
    running = [job for job in jobs if job.state == "running"]
    waiting = sum(job.state in ("waiting", "stopped") for job in jobs)
    lefts, wholes = [], []
    for job in running:
        ran, progress = now - job.record["started"], progress_in(tail(root / job.listed.log))
        by_mean = [] if each is None else [max(each - ran, 0.0)]
        own = [] if progress is None else [progress.seconds_left]
        if own or by_mean:
            lefts.append(max(own + by_mean))
            wholes.append(ran + lefts[-1])
    mean = each if each is not None else sum(wholes) / len(wholes) if wholes else None
    if len(lefts) < len(running) or not running or (waiting and mean is None):
        return None
    return float(sum(lefts) + waiting * (mean or 0.0)) / len(running)


def _running(root: Path, jobs: Sequence[Job], now: float) -> Iterator[str]:
    running = [job for job in jobs if job.state == "running"]
    for job in running[:RUNNING_SHOWN]:
        log = root / job.listed.log
        lines = tail(log)
        progress = progress_in(lines)
        told = f"{progress.share:4.0%}  {progress.text}" if progress else (lines[-1] if lines else "no word yet")
        silent = now - log.stat().st_mtime if log.exists() else now - job.record["started"]
        silent_for = f", silent for {duration(silent)}" if silent > SILENT_SECONDS else ""
        where = f" [Slurm {job.record['slurm_job']}]" if job.record.get("slurm_job") else ""
        yield f"running {job.listed.name}{where}: {told}{silent_for}"
    if len(running) > RUNNING_SHOWN:
        yield f"running: {len(running) - RUNNING_SHOWN:,} more"


def _failed(root: Path, jobs: Sequence[Job]) -> Iterator[str]:
    failed = [job for job in jobs if job.state == "failed"]
    for job in failed[:FAILED_SHOWN]:
        log = root / job.listed.log
        lines = tail(log)
        yield f"failed {job.listed.name}: {lines[-1] if lines else 'it left no log: it ended before it began'}"
        yield f"{PATH}{log}"
    if len(failed) > FAILED_SHOWN:
        yield f"failed: {len(failed) - FAILED_SHOWN:,} more"
