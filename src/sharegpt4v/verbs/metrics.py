"""Write the scores by model and the loss of every training, for `dvc metrics show` and `dvc plots show`.

Example:  s4v metrics --config .work/config.json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    add_path(parser, "--scores", layout.SCORES, "the folder of score files")


def run(options: Namespace) -> None:
    """Write results/metrics/MODEL.json and results/curves.csv."""
    from sharegpt4v.report.dvc_view import write_curves, write_metrics

    config = config_of(options)
    for model in config.models:
        write_metrics(model.name, options.scores, layout.metrics_of(model.name))
    write_curves(layout.trainings(config), layout.CURVES)
