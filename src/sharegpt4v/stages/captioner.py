"""Train the captioner on the seed captions (paper section 3.3: Share-Captioner).

Example:  s4v stage captioner
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Start from the aligned model of the captioner's size, or its base, and write checkpoints/captioner."""
    from sharegpt4v.captions.rows import captioner_rows, read_instruction
    from sharegpt4v.training.stages import train_here

    captioner = config.captioner
    rows = captioner_rows(layout.SEED_CAPTIONS, read_instruction(layout.of_project(captioner.instruction)))
    train_here(config, "captioner", captioner.recipe, lineage.captioner_start(config), rows, layout.CAPTIONER)
