"""Draw a figure from its table (paper figure 2 and table 1; captions; the loss of every training).

Examples:  s4v stage figures substitution
           s4v stage figures captions/seed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config


FIGURES = ("substitution", "datasets", "curves", *(f"captions/{name}" for name in layout.CAPTION_SETS))


def run(config: Config, name: str) -> None:
    """Read results/NAME.csv and write results/figures/NAME.svg, and .png for slides."""
    from sharegpt4v.miniature import notice_of
    from sharegpt4v.report.curves_figure import curves_figure
    from sharegpt4v.report.dataset_figures import captions_figure, datasets_figure
    from sharegpt4v.report.substitution_figure import substitution_figure

    if name not in FIGURES:
        raise UserError(f"figure {name!r}; expected one of {', '.join(FIGURES)}")
    draw = {"substitution": substitution_figure, "datasets": datasets_figure, "curves": curves_figure}
    outs = [layout.figure(name), layout.figure(name, "png")]
    draw.get(name, captions_figure)(layout.RESULTS / f"{name}.csv", outs, notice_of(config))
