"""Pre-train a multi-modal model on the captioner's captions (paper section 4.2), or as a variant of an ablation says.

Examples:  s4v stage pretraining 7b
           s4v stage pretraining 7b_captioner_share-0.5
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, pretrained: str) -> None:
    """Start from the aligned model of its size and write checkpoints/pretrained/PRETRAINED."""
    from sharegpt4v import ablations
    from sharegpt4v.training.stages import train_here

    made = ablations.pretraining_named(config, pretrained)
    start, out = layout.aligned(made.size), layout.pretrained(made.name)
    train_here(config, "pretraining", made.recipe, start, made.corpus, out)
