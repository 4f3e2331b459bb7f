"""Write the results table, results/table.csv and results/table.md, from the scores; print it.

Example:  s4v table --config config/config.yaml
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    add_path(parser, "--scores", layout.SCORES, "the folder of score files")
    add_path(parser, "--out", layout.TABLE, "the table; the Markdown is written beside it")


def run(options: Namespace) -> None:
    """One row per model of the config."""
    from sharegpt4v.stages.table import write_tables

    write_tables(config_of(options), options.scores, options.out)
