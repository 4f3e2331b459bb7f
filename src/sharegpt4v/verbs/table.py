"""Write the results table, results/table.csv and results/table.md, from the scores; print it.

Example:  s4v table --config config/config.yaml
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
    add_path(parser, "--out", layout.RESULTS / "table.csv", "the table; the Markdown is written beside it")


def run(options: Namespace) -> None:
    """One row per model of the config."""
    from sharegpt4v.evaluation.table import terminal_text, write_table
    from sharegpt4v.evaluation.table_page import write_page

    published = {model.name: model.paper for model in config_of(options).models}
    models = list(published)
    write_table(models, options.scores, options.out)
    paper = layout.of_project(Path("config/paper/results.csv"))
    write_page(published, options.scores, paper, options.out.with_suffix(".md"))
    print(terminal_text(models, options.scores))
