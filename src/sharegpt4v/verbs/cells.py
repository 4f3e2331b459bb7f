"""Write all that is known of each cell of the results table: value, error, split, scorer, judge, hashes.

Example:  s4v cells --config config/config.yaml
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    add_path(parser, "--scores", layout.SCORES, "the folder of score files")
    add_path(parser, "--out", layout.CELLS, "the table to write")


def run(options: Namespace) -> None:
    """One row per cell."""
    from sharegpt4v.evaluation.table import write_cells

    write_cells([model.name for model in config_of(options).models], options.scores, options.out)
