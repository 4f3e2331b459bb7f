"""Write the report of the run, results/report.html: scores, figures, captions, answers, costs, provenance, one page.

It is made of what the run left on disk, loads nothing from elsewhere, and shows the same for the same files. The tables
go into results/tables as pages too, where `snakemake --report` takes them from.

Example:  s4v stage report
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.report.costs import Costs

DEVICE = "A100-80G"  # the paper's, as `s4v plan` takes it by default


def run(config: Config) -> None:
    """Write results/report.html and a page for each table."""
    from sharegpt4v.pipeline.targets import tables_of
    from sharegpt4v.report.page import write_report, write_table_page

    for name in tables_of(config):
        write_table_page(config, name, layout.table_page(name))
    write_report(config, costs_here(config), layout.REPORT)
    print(f"{layout.REPORT}: open it in a browser")


def costs_here(config: Config) -> Costs:
    """Return what the run in this folder was planned to cost, and has cost."""
    from sharegpt4v.plan.estimate import Estimate
    from sharegpt4v.plan.spent import LEDGERS, gigabytes_spent, hours_spent, usd_spent
    from sharegpt4v.report.costs import Planned, Spent, costs_of
    from sharegpt4v.report.timings import all_timings

    estimate, timings = Estimate(config, DEVICE), all_timings(layout.TIMINGS)
    hours, usd, gigabytes = hours_spent(timings, config), usd_spent(estimate.prices), gigabytes_spent()
    planned, spent = {}, {}
    for stage, cost in estimate.costs().items():
        kept = stage not in LEDGERS or any((layout.WORK / stage).rglob(LEDGERS[stage]))
        planned[stage] = Planned(cost.jobs, cost.gpu_hours, cost.usd, cost.gigabytes)
        spent[stage] = Spent(hours.get(stage, 0.0), usd.get(stage, 0.0) if kept else None, gigabytes.get(stage, 0.0))
    return costs_of(planned, spent, timings, DEVICE)
