"""The plan as one screen of text, and as the table `results/costs.csv`: what was planned, and what is spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sharegpt4v.files import csv_text
from sharegpt4v.pipeline.snakemake import Pending
from sharegpt4v.plan.estimate import Cost
from sharegpt4v.plan.missing import Missing
from sharegpt4v.terminal import plain_table

COLUMNS = ("stage", "jobs", "why", "minutes", "GPU-hours", "USD", "by batch", "GB")
UNKNOWN = "?"


def plan_text(
    title: str,
    pending: Mapping[str, Pending],
    costs: Mapping[str, Cost],
    missing: Sequence[Missing],
    provided: Sequence[str],
    seconds: Mapping[str, float],
    told: Sequence[str] = (),
) -> str:
    """Return the screen: a line per stage that is left, the sum, what is provided, what is missing.

    `seconds` is what a job of a stage took in this folder; minutes of other stages are not known. They are of all jobs
    one after the other. `told` are lines on what fits and
    how fast texts are written.
    """
    minutes = {stage: one.jobs * seconds[stage] / 60 if stage in seconds else None for stage, one in pending.items()}
    lines = [COLUMNS, *(_line(stage, pending, costs, minutes[stage]) for stage in pending)]
    left = [_left(costs[stage], pending[stage]) for stage in costs if stage in pending]
    jobs = str(sum(one.jobs for one in pending.values()))
    lines.append(
        (
            "in all",
            jobs,
            "",
            _shown(list(minutes.values())),
            *(_shown([getattr(cost, key) for cost in left]) for key in _KEYS),
        )
    )
    table = plain_table(lines, right=[1, *range(3, len(COLUMNS))]) if pending else "nothing to do: everything is made"
    screen = [title, table, "", *told, *(f"provided, not made: {what}" for what in provided)]
    screen += [f"missing: {one.what}: {one.remedy}" for one in missing if one.stops]
    screen += [f"not there, the run continues: {one.what}: {one.remedy}" for one in missing if not one.stops]
    screen.append(
        "This run cannot be done yet: see what is missing." if any(one.stops for one in missing) else "Ready."
    )
    return "\n".join(screen)


_KEYS = ("gpu_hours", "usd", "batch_usd", "gigabytes")


def _line(
    stage: str, pending: Mapping[str, Pending], costs: Mapping[str, Cost], minutes: float | None
) -> tuple[str, ...]:
    one = pending[stage]
    left = _left(costs[stage], one) if stage in costs else Cost(one.jobs)
    return (stage, str(one.jobs), one.why, _shown([minutes]), *(_shown([getattr(left, key)]) for key in _KEYS))


def _left(cost: Cost, pending: Pending) -> Cost:
    """The part of a stage's cost that its pending jobs have."""
    share = min(1.0, pending.jobs / cost.jobs)
    parts = (None if value is None else value * share for value in (getattr(cost, key) for key in _KEYS))
    return Cost(pending.jobs, *parts)


def _shown(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    more = f" + {UNKNOWN}" if known and len(known) < len(values) else ""
    if not known:
        return UNKNOWN
    total = sum(known)
    text = f"{total:,.0f}" if total >= 10 or not total else f"{total:,.1f}" if total >= 0.05 else "0.0"
    return ("-" if text == "0" else text) + more


def costs_csv(costs: Mapping[str, Cost], spent: Mapping[str, Mapping[str, float]]) -> str:
    """Return the table: stage, quantity, what the whole stage was planned to cost, what of it is spent.

    `spent` has the quantities gpu_hours, usd and gigabytes, each by stage; of one that it lacks nothing is spent. A
    cell is empty where nothing is known.
    """
    lines = [["stage", "quantity", "planned", "spent"]]
    for stage, cost in costs.items():
        for quantity in ("gpu_hours", "usd", "gigabytes"):
            planned: float | None = getattr(cost, quantity)
            used = spent.get(quantity, {}).get(stage, 0)
            lines.append([stage, quantity, "" if planned is None else f"{planned:.6g}", f"{used:.6g}"])
    return csv_text(lines)
