"""Draw the mini world: archives, URL lists, annotation files and benchmarks, to be served and fetched like real ones.

Example:  s4v mini-world --config config/config.yaml
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)


def run(options: Namespace) -> None:
    """Write the world below data/mini/."""
    from sharegpt4v.mini.world import write_world

    config = config_of(options)
    if config.mini is None:
        raise UserError(f"{options.config}: there is no section mini, so there is no world to draw")
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
