"""Join vision tower and language model by a new projector, trained on short captions (LLaVA-1.5's first stage).

Where the config names a published projector, as for the paper's models, that is taken and nothing is trained.

After a kill, the same command resumes from the last saved state; so do the other trainings.

Example:  s4v stage alignment 7b
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, size: str) -> None:
    """Write checkpoints/aligned/SIZE; `size` is a name in base_models.llm of the config."""
    from sharegpt4v.models.projector_file import join
    from sharegpt4v.training.stages import train_here

    parts = layout.TOWER, layout.llm(size)
    if taken := config.base_models.llm[size].projector:
        join(*parts, taken, layout.aligned(size), config.base_models.projector_type, config.alignment.precision)
        return
    train_here(
        config,
        "alignment",
        config.alignment,
        parts,
        layout.SHORT_CAPTIONS,
        layout.aligned(size),
        layout.SHORT_CAPTION_IMAGES,
        projector=config.base_models.projector_type,
    )
