"""Draw the synthetic world: archives, URL lists, annotation files and benchmarks, served and fetched like real ones.

Example:  s4v stage synthetic_world --config config/config.yaml
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config) -> None:
    """Write data/mini/. A `UserError` where the config has no section `mini`."""
    from sharegpt4v.mini.world import write_world

    if config.mini is None:
        raise UserError("mini: null in the config; expected the section of a synthetic world, or another stage")
    write_world(
        layout.WORLD,
        layout.SCENES,
        layout.sources(config),
        config.mini.images,
        config.mini.instruction_rows,
        config.seed,
        config.mini.image_pixels,
        config.mini.questions_per_benchmark,
    )
