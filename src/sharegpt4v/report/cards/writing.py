"""The cards as files: all of them below results/cards, and that of each model as README.md in the model's folder.

There it is no part of the checkpoint: neither its hash nor DVC counts it (see `provenance.ABOUT`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_text, write_text
from sharegpt4v.report.cards.data import data_card
from sharegpt4v.report.cards.models import model_card

if TYPE_CHECKING:
    from sharegpt4v.config import Config

README = "README.md"


def write_cards(config: Config) -> None:
    """Write the cards of all models and data sets of the run in this folder, and put those of the models in place."""
    for name in lineage.checkpoints(config):
        write_text(layout.model_card(name), model_card(config, name))
    for name in lineage.data_sets(config):
        write_text(layout.data_card(name), data_card(config, name))
    put_cards(config)


def put_cards(config: Config) -> None:
    """Copy the cards of the models into the folders of those that are here, as README.md.

    A folder that cannot be written, such as a shared one of published models, is reported and skipped.
    """
    for name, folder in lineage.checkpoints(config).items():
        card, readme = layout.model_card(name), folder / README
        if card.is_file() and folder.is_dir():
            try:
                write_text(readme, read_text(card))
            except UserError as error:
                print(f"{error}; the card is in {card}", file=sys.stderr)
