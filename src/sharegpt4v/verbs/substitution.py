"""Write what better captions do by themselves: before, after and gain, beside the paper's (paper figure 2).

The standard errors of the gains are written beside the table, and a page to read.

Example:  s4v substitution --config config/config.yaml
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    add_path(parser, "--scores", layout.SCORES, "the folder of score files")
    add_path(parser, "--out", layout.RESULTS / "substitution.csv", "the table to write")


def run(options: Namespace) -> None:
    """One row per pair of models and benchmark."""
    from sharegpt4v.evaluation.gains import Pair, write_substitution

    pairs = [Pair(pair.paper or pair.before, pair.before, pair.after) for pair in config_of(options).substitution]
    paper = layout.of_project(Path("config/paper/substitution.csv"))
    write_substitution(pairs, options.scores, paper, options.out)
