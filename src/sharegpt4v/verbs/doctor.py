"""Check that this machine has what a preset needs, and with --profile that its cluster does. Lines say what to do.

Exit code 1 when something lacks. --slurm also runs a short job of each kind. --write-profile asks Slurm for its
partitions and writes a profile for them, which is then checked as by --profile.

Examples:  s4v doctor
           s4v doctor --config config/smoke.yaml --profile slurm --slurm
           s4v doctor --write-profile mycluster --slurm
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from datetime import date
from importlib.util import find_spec
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_config, config_of

NEW_PROFILE = Path("profiles/cluster")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="Snakemake's profile, such as slurm")
    parser.add_argument(
        "--write-profile", type=Path, metavar="FOLDER", nargs="?", const=NEW_PROFILE,
        help=f"write a profile for this cluster (default: {NEW_PROFILE})",
    )  # fmt: skip
    parser.add_argument("--slurm", action="store_true", help="also run a short job of each kind of the profile")


def run(options: Namespace) -> None:
    """Print a line for each thing that was looked at."""
    from sharegpt4v.doctor.benchmarks import benchmark_findings
    from sharegpt4v.doctor.cluster import cluster_findings
    from sharegpt4v.doctor.machine import machine_findings
    from sharegpt4v.doctor.models import model_findings
    from sharegpt4v.doctor.new_profile import write_new_profile
    from sharegpt4v.doctor.profile import read_profile
    from sharegpt4v.doctor.versions import version_findings

    config = config_of(options)
    if options.write_profile:
        print(f"wrote {write_new_profile(options.write_profile)}", flush=True)
    folder = options.write_profile or options.profile or (Path("slurm") if options.slurm else None)
    profile = read_profile(folder if folder.exists() else layout.PROJECT / folder) if folder else {}
    slurm = profile.get("executor") == "slurm"
    lacking = 0
    for findings in (
        machine_findings(config, os.environ, slurm),
        version_findings(config) if find_spec("torch") else (),
        model_findings(config, date.today()),
        benchmark_findings(config),
        cluster_findings(profile, config, options.slurm) if slurm else (),
    ):
        for finding in findings:
            print(finding, flush=True)
            lacking += finding.remedy is not None
    if lacking:
        sys.exit(1)
