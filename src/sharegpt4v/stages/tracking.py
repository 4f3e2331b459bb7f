"""Show the whole run in MLflow: curves, scores, tables and figures. `make browse` then opens it.

MLflow is a view: whatever keeps it from showing something is reported in a line, and fails nothing.

Example:  s4v stage tracking
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Show everything of the run in this folder that is not shown yet; write results/tracked.txt and the runs' ids."""
    from sharegpt4v.files import write_json, write_text
    from sharegpt4v.tracking.show import track_all
    from sharegpt4v.tracking.tracker import tracker_of

    shown, title = track_all(Path(), config), tracker_of(config.tracking.store()).title
    told = f"shown in {title}" + (f" at {config.tracking.uri}" if config.tracking.uri else "")
    told = told if shown.complete else f"not all of it could be shown in {title}"
    write_json(layout.MLFLOW_RUNS, shown.runs)
    write_text(layout.TRACKED, f"{told if config.tracking.enabled else 'tracking is off'}\n")
