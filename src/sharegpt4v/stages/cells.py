"""Write all that is known of each cell of the results table: value, error, split, scorer, judge, hashes.

Example:  s4v stage cells
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Write results/scores.csv, one row per cell."""
    from sharegpt4v.evaluation.table import write_cells

    write_cells([model.name for model in config.models], layout.SCORES, layout.CELLS)
