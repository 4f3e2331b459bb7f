"""Where the time went: Snakemake's benchmark files of all jobs, as one table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sharegpt4v.errors import UserError
from sharegpt4v.files import write_csv
from sharegpt4v.progress import duration
from sharegpt4v.terminal import plain_table


class Timing(NamedTuple):
    """One run of one job. `max_rss_mb` is the largest resident memory in MiB; None where the job was too short."""

    stage: str
    job: str
    seconds: float
    max_rss_mb: float | None


def collect_timings(benchmark_dir: Path, out_csv: Path) -> str:
    """Write `stage,job,seconds,max_rss_mb`, a line per job, and return the seconds per stage for the terminal.

    `benchmark_dir` holds a folder of TSV files per stage, or a TSV file where a stage is one job. A repeated job has
    several lines. A `UserError` when there are none, or for a file that Snakemake did not write.
    """
    timings = all_timings(benchmark_dir)
    if not timings:
        raise UserError(f"{benchmark_dir}: no timings; expected the benchmark files of a finished run of the pipeline")
    lines: list[Sequence[str]] = [Timing._fields]
    for timing in timings:
        memory = "" if timing.max_rss_mb is None else f"{timing.max_rss_mb:.1f}"
        lines.append([timing.stage, timing.job, f"{timing.seconds:.1f}", memory])
    write_csv(out_csv, lines)
    return terminal_text(timings)


def all_timings(benchmark_dir: Path) -> list[Timing]:
    """Return the timings of all jobs, one per run of a job; none where there is no folder."""
    return [timing for path in sorted(benchmark_dir.rglob("*.tsv")) for timing in read_timings(path, benchmark_dir)]


def seconds_per_job(timings: Iterable[Timing]) -> dict[str, float]:
    """Return the mean seconds of a job of each stage."""
    return {stage: sum(job.seconds for job in jobs) / len(jobs) for stage, jobs in by_stage(timings).items()}


def by_stage(timings: Iterable[Timing]) -> dict[str, list[Timing]]:
    """Return the timings of each stage, in the order in which the stages come first."""
    stages: dict[str, list[Timing]] = {}
    for timing in timings:
        stages.setdefault(timing.stage, []).append(timing)
    return stages


def terminal_text(timings: list[Timing]) -> str:
    """Return a table of the stages, the longest first, and their total. Jobs side by side count each."""
    lines = [("stage", "jobs", "seconds", "", "largest MiB")]
    by_time = sorted(by_stage(timings).items(), key=lambda stage: -sum(timing.seconds for timing in stage[1]))
    lines += [_line(name, jobs) for name, jobs in by_time]
    lines.append(_line("total", timings))
    return plain_table(lines, right=range(1, 5))


def _line(name: str, jobs: list[Timing]) -> tuple[str, str, str, str, str]:
    seconds = sum(job.seconds for job in jobs)
    memory = max((job.max_rss_mb for job in jobs if job.max_rss_mb is not None), default=None)
    return name, f"{len(jobs):,}", f"{seconds:,.1f}", duration(seconds), "" if memory is None else f"{memory:,.0f}"


def read_timings(path: Path, root: Path) -> list[Timing]:
    """Read one of Snakemake's files: columns `s` (seconds) and `max_rss` (MiB, "-" or "NA" when not measured)."""
    job = path.relative_to(root).with_suffix("")
    timings = []
    with open(path, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file, delimiter="\t"), start=2):
            try:
                memory = None if row["max_rss"] in ("-", "NA") else float(row["max_rss"])
                timings.append(Timing(job.parts[0], job.as_posix(), float(row["s"]), memory))
            except (KeyError, TypeError, ValueError):
                raise UserError(
                    f"{path}, line {number}: no 's' and 'max_rss'; expected a benchmark file of Snakemake; delete it"
                ) from None
    return timings
