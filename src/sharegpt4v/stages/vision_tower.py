"""Make the vision tower (paper section 4.1): import the published CLIP that the config names, or train a small one.

Example:  s4v stage vision_tower
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Write checkpoints/base/vision-tower."""
    from sharegpt4v.mini.base_stage import make_tower
    from sharegpt4v.models.published import import_vision_tower

    tower = config.base_models.vision_tower
    if tower.published:
        import_vision_tower(tower, layout.TOWER)
    else:
        captions, images = layout.SHORT_CAPTIONS, layout.SHORT_CAPTION_IMAGES
        make_tower(captions, images, layout.TOWER, tower, layout.TOKENIZER, config.seed)
