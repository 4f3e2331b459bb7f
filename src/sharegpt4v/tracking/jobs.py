"""The finished jobs of a run, from the files in its folder: Snakemake's notes, timings, the record of each job."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.job_record import read_record
from sharegpt4v.pipeline.snakemake import summary_of
from sharegpt4v.report.timings import read_timings


@dataclass
class Job:
    """One job. `name` is that of its log, such as ``finetuning/llava-7b``; `arguments` are those of its `s4v`.

    `record` is what `job_record` wrote, `timings` are seconds and MiB; both are empty where files were pulled.
    """

    name: str
    stage: str
    arguments: list[str]
    inputs: list[Path]
    outputs: list[Path] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


def finished_jobs(root: Path) -> list[Job]:
    """Return the jobs of the run in `root` that are done, in the order in which they were.

    What Snakemake complains about is a `UserError`; so is a folder in which nothing was ever run.
    """
    jobs: dict[str, Job] = {}
    for row in summary_of(root.resolve()):
        log = row["log-file(s)"]
        if log == "-" or not (root / row["output_file"]).exists():  # not made yet, or not by this Snakefile
            continue
        if log not in jobs:
            jobs[log] = _job(root, row)
        jobs[log].outputs.append(Path(row["output_file"]))
    return sorted(jobs.values(), key=lambda job: max((root / path).stat().st_mtime for path in job.outputs))


def _job(root: Path, row: dict[str, str]) -> Job:
    log = Path(row["log-file(s)"])
    name = log.relative_to(layout.LOGS).with_suffix("").as_posix()
    words = shlex.split(row["shellcmd"].partition(" 2>&1")[0])
    arguments = words[words.index("s4v") + 1 :]
    timings = _timings(root / layout.TIMINGS / f"{name}.tsv", root)
    inputs = [Path(path) for path in row["input-file(s)"].split(",") if path not in ("", "-")]
    return Job(name, row["rule"], arguments, inputs, [], read_record(root / layout.JOBS, arguments), timings)


def _timings(path: Path, root: Path) -> dict[str, float]:
    """Return seconds and MiB of the last run of a job, from Snakemake's benchmark file; nothing where there is none."""
    if not path.exists():
        return {}
    last = read_timings(path, root)[-1]
    return {"seconds": last.seconds} | ({} if last.max_rss_mb is None else {"max_rss_mb": last.max_rss_mb})
