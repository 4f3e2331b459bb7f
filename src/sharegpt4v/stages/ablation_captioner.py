"""Train a captioner of an ablation: on fewer seed captions, by another recipe, or of another size (paper section 3.3).

The name follows from what it differs in from the run's captioner.

Example:  s4v stage ablation_captioner seed-captions-0.1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, captioner: str) -> None:
    """Write checkpoints/ablations/captioners/CAPTIONER."""
    from sharegpt4v import ablations
    from sharegpt4v.captions.rows import captioner_rows, read_instruction
    from sharegpt4v.corpora.caption_choice import first_of
    from sharegpt4v.training.stages import train_here

    made = ablations.captioner_named(config, captioner)
    rows = captioner_rows(layout.SEED_CAPTIONS, read_instruction(layout.of_project(config.captioner.instruction)))
    train_here(
        config,
        "ablation_captioner",
        made.recipe,
        lineage.captioner_start(config, made.size),
        first_of(rows, made.seed_captions, config.seed),
        layout.ablation_captioner(captioner),
    )
