"""Take a published multi-modal model, in its authors' layout or in transformers', as a checkpoint of this project.

Published models are rows of the table that nothing is trained for, the captioner, or what a training starts from.

Example:  s4v stage published_model Lin-Chen--ShareGPT4V-7B@c2cf644
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, published: str) -> None:
    """Write checkpoints/published/NAME; `published` is the name of the folder of a model that the config takes."""
    from sharegpt4v.models.importing import import_checkpoint

    known = lineage.published_models(config)
    if published not in known:
        raise UserError(f"published model {published!r} is not in the config; expected one of {', '.join(known)}")
    taken = known[published]
    import_checkpoint(taken, layout.PUBLISHED / published, taken.family, taken.most_pixels)
