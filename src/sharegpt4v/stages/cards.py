"""Write the card of each model and of each data set of the run, from its records, for the Hugging Face Hub.

They are below results/cards; that of a model is also README.md in its folder.

Example:  s4v stage cards
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Write results/cards/models/NAME.md, results/cards/data/NAME.md, and README.md in the folders of the models."""
    from sharegpt4v.report.cards.writing import write_cards

    write_cards(config)
