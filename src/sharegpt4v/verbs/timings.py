"""Collect what every job of the pipeline took, results/timings.csv, and print the seconds per stage.

Example:  s4v timings
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_path


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_path(parser, "--benchmarks", layout.TIMINGS, "the folder of Snakemake's benchmark files")
    add_path(parser, "--out", layout.RESULTS / "timings.csv", "the table to write")


def run(options: Namespace) -> None:
    """Read all files and write the table."""
    from sharegpt4v.report.timings import collect_timings

    print(collect_timings(options.benchmarks, options.out))
