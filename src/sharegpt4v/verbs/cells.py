"""Write all that is known of each cell of the results table: value, error, split, scorer, judge, hashes, commit, run.

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
    add_path(parser, "--runs", layout.MLFLOW_RUNS, "the MLflow run of each job, as `s4v track` leaves it")
    add_path(parser, "--out", layout.RESULTS / "scores.csv", "the table to write")


def run(options: Namespace) -> None:
    """One row per cell."""
    from sharegpt4v.benchmarks.table import write_cells
    from sharegpt4v.files import read_json

    models = [model.name for model in config_of(options).models]
    shown = read_json(options.runs) if options.runs.exists() else {}
    runs = {model: shown.get(f"scores/{model}", "") for model in models}
    write_cells(models, options.scores, runs, options.out)
