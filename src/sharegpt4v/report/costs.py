"""What a run was planned to cost and has cost, and how long its jobs took; what these numbers lack is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sharegpt4v.progress import duration
from sharegpt4v.report.tables import Table
from sharegpt4v.report.timings import Timing, by_stage

UNKNOWN = "not known"
AFTER = ("report", "metrics", "tracking")  # stages that run beside or after the report


@dataclass(frozen=True)
class Planned:
    """What all jobs of a stage were planned to cost; None where it is not known."""

    jobs: int
    gpu_hours: float | None
    usd: float | None
    gigabytes: float | None


@dataclass(frozen=True)
class Spent:
    """What the jobs of a stage cost until now; `usd` is None where no reply is kept that could be counted."""

    device_hours: float
    usd: float | None
    gigabytes: float


@dataclass(frozen=True)
class Costs:
    """The tables of the section, and what they lack."""

    tables: Sequence[Table]
    lacks: Sequence[str]


def costs_of(
    planned: Mapping[str, Planned], spent: Mapping[str, Spent], timings: Sequence[Timing], device: str
) -> Costs:
    """Return the section: by stage what was planned on devices of a kind and what is spent, and the times of jobs."""
    head = [
        "stage", "jobs", "GPU-hours planned", "device-hours spent", "USD planned", "USD spent", "GB planned",
        "GB on disk",
    ]  # fmt: skip
    rows = [_line(stage, cost, spent[stage]) for stage, cost in planned.items() if cost.jobs]
    note = (
        f"Planned as by `s4v plan`, on {device}; spent on the devices of this machine, CPUs among them. Money is by "
        "today’s table of prices; the project’s own teacher and judge cost none."
    )
    counted = by_stage(timing for timing in timings if timing.stage not in AFTER)
    times = [_times(stage, jobs) for stage, jobs in counted.items()]
    tables = [Table("By stage", head, rows, note)]
    if times:
        told = "Of each job its last run; what a job did before a kill is not in it. Jobs beside each other count each."
        tables.append(Table("Time of the jobs", ["stage", "runs of jobs", "time", "largest memory, MiB"], times, told))
    return Costs(tables, [*_lacks(planned, spent, counted)])


def _line(stage: str, planned: Planned, spent: Spent) -> list[str]:
    usd = None if planned.usd is None else spent.usd if planned.usd else spent.usd or 0.0
    return [
        stage, f"{planned.jobs:,}", _number(planned.gpu_hours), _number(spent.device_hours), _number(planned.usd),
        _number(usd), _number(planned.gigabytes), _number(spent.gigabytes),
    ]  # fmt: skip


def _times(stage: str, jobs: Sequence[Timing]) -> list[str]:
    memory = [job.max_rss_mb for job in jobs if job.max_rss_mb is not None]
    seconds = sum(job.seconds for job in jobs)
    return [stage, f"{len(jobs):,}", duration(seconds), f"{max(memory):,.0f}" if memory else "not measured"]


def _lacks(
    planned: Mapping[str, Planned], spent: Mapping[str, Spent], timings: Mapping[str, Sequence[Timing]]
) -> list[str]:
    found = []
    for stage, cost in planned.items():
        timed = len({timing.job for timing in timings.get(stage, ())})
        if timed < cost.jobs:
            found.append(
                f"{stage}: {timed:,} of {cost.jobs:,} jobs have a timing here; the others ran elsewhere or are not done"
            )
        if cost.usd is None:
            found.append(f"{stage}: its model has no price in config/prices.tsv, so its money is not known")
        elif cost.usd and spent[stage].usd is None:
            found.append(f"{stage}: no replies are kept in this folder, so what they cost is not known")
    return found


def _number(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    if not value:
        return "0"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "under 0.001"
