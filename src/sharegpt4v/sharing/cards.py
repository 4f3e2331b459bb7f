"""The card of a set of the run, by what the run recorded about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def card_of(config: Config, name: str) -> str:
    """Return the text of the card of a set of the run; empty for one that the run does not know."""
    return ""
