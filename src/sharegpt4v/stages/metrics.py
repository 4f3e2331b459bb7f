"""Write the scores by model and the loss of every training, for `dvc metrics show` and `dvc plots show`.

Example:  s4v stage metrics
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Write results/metrics/MODEL.json and results/curves.csv."""
    from sharegpt4v.report.dvc_view import write_curves, write_metrics

    for model in config.models:
        write_metrics(model.name, layout.SCORES, layout.metrics_of(model.name))
    write_curves(lineage.trainings(config), layout.CURVES)
