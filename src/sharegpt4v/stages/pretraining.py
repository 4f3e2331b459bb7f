"""Pre-train a multi-modal model on the captioner's captions (paper section 4.2).

Example:  s4v stage pretraining 7b
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, size: str) -> None:
    """Start from checkpoints/aligned/SIZE and write checkpoints/pretrained/SIZE."""
    from sharegpt4v.training.stages import train_here

    start, out = layout.aligned(size), layout.pretrained(size)
    train_here(config, "pretraining", config.pretraining, start, layout.PRETRAINING_CORPUS, out)
