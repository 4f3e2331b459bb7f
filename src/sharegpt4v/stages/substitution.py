"""Write what better captions do by themselves: before, after and gain, beside the paper's (paper figure 2).

The standard errors of the gains are written beside the table, and a page to read.

Example:  s4v stage substitution
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config

PAPER = Path("config/paper/substitution.csv")


def run(config: Config) -> None:
    """Write results/substitution.csv, one row per pair of models and benchmark."""
    from sharegpt4v.evaluation.expected import expected_of
    from sharegpt4v.evaluation.gains import Pair, write_substitution
    from sharegpt4v.miniature import notice_of

    pairs = [Pair(pair.paper or pair.before, pair.before, pair.after) for pair in config.substitution]
    paper, out = layout.of_project(PAPER), layout.SUBSTITUTION
    write_substitution(pairs, layout.SCORES, paper, out, notice_of(config), expected_of(config))
