"""Write the results table, results/table.csv and results/table.md, from the scores (paper tables 2 and 3); print it.

Example:  s4v stage table
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """One row per model of the config."""
    write_tables(config, layout.SCORES, layout.TABLE)


def write_tables(config: Config, scores: Path, out: Path) -> None:
    """Write the table of the scores in a folder to `out`, and the page beside it; print it."""
    from sharegpt4v.evaluation.table import terminal_text, write_table
    from sharegpt4v.evaluation.table_page import write_page

    published = {model.name: model.paper for model in config.models}
    write_table(list(published), scores, out)
    write_page(published, scores, layout.of_project(Path("config/paper/results.csv")), out.with_suffix(".md"))
    print(terminal_text(list(published), scores))
