"""Show the whole run in MLflow: curves, scores, tables and figures. `make browse` then opens it.

MLflow is a view: whatever keeps it from showing something is told in a line, and fails nothing.

Example:  s4v track --config .work/config.json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    add_path(parser, "--out", layout.TRACKED, "a note of what was done")
    add_path(parser, "--runs", layout.MLFLOW_RUNS, "the id of the MLflow run of each job")


def run(options: Namespace) -> None:
    """Show everything below the working folder that is not shown yet."""
    from sharegpt4v.files import write_json, write_text
    from sharegpt4v.tracking.show import track_all
    from sharegpt4v.tracking.tracker import tracker_of

    config = config_of(options)
    shown = track_all(Path(), config)
    title = tracker_of(config.tracking.uri).title
    told = (
        f"shown in {title} at {config.tracking.uri}" if shown.complete else f"not all of it could be shown in {title}"
    )
    write_json(options.runs, shown.runs)
    write_text(options.out, f"{told if config.tracking.enabled else 'tracking is off'}\n")
