"""Write how many rows of each source the corpora had, lost, got, and have (paper: 665,298 - 23,240 + 23,000 = 665,058).

Example:  s4v stage mixture
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Write results/mixture.csv, a row per corpus and source; rows of a provided corpus are counted."""
    from sharegpt4v.corpora.arithmetic import write_mixture

    made = [(corpus, not layout.is_provided(config, corpus)) for corpus in lineage.corpora(config)]
    write_mixture(made, layout.MIXTURE)
