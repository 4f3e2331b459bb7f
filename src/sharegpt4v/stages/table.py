"""Write the results tables, results/table.csv and results/table.md, from the scores (paper tables 2 and 3); print them.

Benchmarks that the paper does not report have a table of their own, results/table_more.csv and results/table_more.md.

results/README.md says what each file of the results is.

Example:  s4v stage table
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.miniature import begins_with_notice, notice_of

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """One row per model of the config; and the page about the results."""
    from sharegpt4v.report.results_page import write_results_page

    write_tables(config, layout.SCORES, layout.TABLE)
    write_results_page(layout.ABOUT_RESULTS, notice_of(config))


def write_tables(config: Config, scores: Path, out: Path) -> None:
    """Write the table of the scores in a folder to `out`, and the page beside it; print it.

    Page and print begin with the notice of the miniature where the config is one. Where the config has benchmarks of
    the other table, that goes to `..._more.csv` beside `out`.
    """
    from sharegpt4v.evaluation.expected import expected_of
    from sharegpt4v.evaluation.leakage import image_cells
    from sharegpt4v.evaluation.table import terminal_text, write_table
    from sharegpt4v.evaluation.table_page import write_page

    published = {model.name: model.paper for model in config.models}
    write_table(list(published), scores, out)
    paper = layout.of_project(Path("config/paper/results.csv"))
    write_page(published, scores, paper, out.with_suffix(".md"), notice_of(config), expected=expected_of(config))
    print(begins_with_notice(config, terminal_text(list(published), scores)))
    if config.benchmarks.more:
        more = out.with_name(f"{out.stem}_more.csv")
        bases = {model.name: layout.base_name(model.size) if model.size else None for model in config.models}
        also = image_cells(scores, bases)
        write_table(list(published), scores, more, "more", also)
        write_page(dict.fromkeys(published), scores, paper, more.with_suffix(".md"), notice_of(config), "more", also)
        print(terminal_text(list(published), scores, "more", also))
