"""Write what each part of the method adds: the table and the figure of the ablations (paper tables 4 to 6, figure 6).

The peak memory of pre-training, which differs from run to run, is written beside.

Example:  s4v stage ablations
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config

PAPER = Path("config/paper/ablations.csv")


def run(config: Config) -> None:
    """Write results/ablations.csv, .md and their figure; a `UserError` where the config has no ablation."""
    from sharegpt4v.evaluation.ablation_table import write_ablations
    from sharegpt4v.miniature import notice_of
    from sharegpt4v.report.ablations_figure import ablations_figure

    if not config.ablations.studies:
        raise UserError("ablations.studies is empty; expected some, as in --configfile config/ablations.yaml")
    notice, figures = notice_of(config), [layout.figure("ablations"), layout.figure("ablations", "png")]
    write_ablations(config, layout.of_project(PAPER), layout.ABLATION_TABLE, layout.ABLATION_MEMORY, notice)
    ablations_figure(config.ablations.studies, layout.ABLATION_TABLE, layout.ABLATION_MEMORY, figures, notice)
