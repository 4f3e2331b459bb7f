"""Fine-tune a model of the config on its instruction mix (paper section 4.3).

Example:  s4v stage finetuning sharegpt4v-7b
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, model: str) -> None:
    """Write checkpoints/MODEL/finetuned; `model` is a name in the config's models."""
    from sharegpt4v.training.stages import train_here

    row = lineage.model_named(config, model)
    start, rows = lineage.start_of(config, row), lineage.rows_of(config, row)
    train_here(config, "finetuning", config.finetuning, start, rows, layout.finetuned(model))
