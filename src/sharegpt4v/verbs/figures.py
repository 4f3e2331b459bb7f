"""Draw the figures of the report from the tables (paper figure 2 and table 1; the loss of every training).

Example:  s4v figures substitution datasets
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_path


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("names", nargs="+", choices=["substitution", "datasets", "curves"], help="which figures")
    add_path(parser, "--results", layout.RESULTS, "the folder of the tables; figures go to its folder figures/")


def run(options: Namespace) -> None:
    """Read NAME.csv and write figures/NAME.svg."""
    from sharegpt4v.report.figures import curves_figure, datasets_figure, substitution_figure

    draw = {"substitution": substitution_figure, "datasets": datasets_figure, "curves": curves_figure}
    for name in options.names:
        draw[name](options.results / f"{name}.csv", options.results / "figures" / f"{name}.svg")
