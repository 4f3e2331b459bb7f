"""Draw the figures of the report from the tables (paper figure 2 and table 1; captions; the loss of every training).

Example:  s4v figures substitution datasets captions/seed
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_path

CAPTIONS = ("captions/coco", "captions/short", "captions/detail", "captions/seed", "captions/pretraining")
FIGURES = ("substitution", "datasets", "curves", *CAPTIONS)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("names", nargs="+", choices=FIGURES, metavar="NAME", help=f"of {', '.join(FIGURES)}")
    add_path(parser, "--results", layout.RESULTS, "the folder of the tables; figures go to its folder figures/")


def run(options: Namespace) -> None:
    """Read NAME.csv and write figures/NAME.svg."""
    from sharegpt4v.report.figures import captions_figure, curves_figure, datasets_figure, substitution_figure

    draw = {"substitution": substitution_figure, "datasets": datasets_figure, "curves": curves_figure}
    for name in options.names:
        figure = draw.get(name, captions_figure)
        figure(options.results / f"{name}.csv", options.results / "figures" / f"{name}.svg")
