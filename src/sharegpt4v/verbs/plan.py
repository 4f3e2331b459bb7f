"""Say what a run will do and cost before anything is spent, and what it lacks; exit code 1 when it cannot be done.

GPU-hours are worked out from operations and, where texts are written, from the bandwidth of the memory: see
config/hardware.tsv and how much of either is reached. Money is from config/prices.tsv; all other assumptions are in
config/assumptions.tsv, each with its source. The numbers go into
results/costs.csv too, beside what is spent so far. The plan for another config than that of the run in this folder
writes nothing into that run. Minutes are those that such jobs took in this folder, one after the other. --set asks what
a change of the config on Snakemake's command line (`--config KEY=VALUE`) would rerun.

Examples:  s4v plan
           s4v plan --config config/paper-7b.yaml --device H100
           s4v plan --set "pretraining={warmup_ratio: 0.1}"
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_config


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    parser.add_argument(
        "--device", default="A100-80G", metavar="NAME", help="a row of config/hardware.tsv (default: the paper's)"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="keys of the config, as Snakemake's --config takes them",
    )
    parser.add_argument(
        "--out", type=Path, metavar="PATH",
        help="the table to write (default: results/costs.csv; none where the run in this folder is of another config)",
    )  # fmt: skip


def run(options: Namespace) -> int:
    """Print the plan for this folder, and write the table."""
    from sharegpt4v.config import load
    from sharegpt4v.files import read_json, write_text
    from sharegpt4v.pipeline.snakemake import changes_of, pending_stages
    from sharegpt4v.plan.ablations import ablation_lines
    from sharegpt4v.plan.estimate import Estimate
    from sharegpt4v.plan.fitting import fitting_lines
    from sharegpt4v.plan.generation import generation_lines
    from sharegpt4v.plan.missing import missing
    from sharegpt4v.plan.page import costs_csv, plan_text
    from sharegpt4v.plan.spent import gigabytes_spent, hours_spent, usd_spent
    from sharegpt4v.report.timings import all_timings, seconds_per_job

    config = load(options.config, changes_of(options.set))
    estimate = Estimate(config, options.device)
    costs = estimate.costs()
    pending = pending_stages(options.config, options.set)
    lacks = missing(config, pending, costs)
    provided = [
        f"{path} (from {Path(layout.file_source(config, path)).stem})"
        for path in (layout.SEED_CAPTIONS, layout.PRETRAINING_CORPUS)
        if layout.is_provided(config, path)
    ]
    same = not layout.RUN_CONFIG.exists() or read_json(layout.RUN_CONFIG)["name"] == config.name
    own = same and not options.set
    timings = all_timings(layout.TIMINGS) if same else []
    spent = {}
    if own:
        spent = {
            "gpu_hours": hours_spent(timings, config),
            "usd": usd_spent(estimate.prices),
            "gigabytes": gigabytes_spent(),
        }
    if out := options.out or (layout.RESULTS / "costs.csv" if own else None):
        write_text(out, costs_csv(costs, spent))
    title = f"{config.name}, in {Path.cwd()}, on devices {options.device}"
    told = fitting_lines(config, options.device, pending)
    told += generation_lines(config, estimate.family, pending, options.device, estimate.device, estimate.assumed)
    told += ablation_lines(estimate)
    print(plan_text(title, pending, costs, lacks, provided, seconds_per_job(timings), told))
    return 1 if any(one.stops for one in lacks) else 0
