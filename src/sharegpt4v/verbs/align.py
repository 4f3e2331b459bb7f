"""Join tower and language model by a new projector, and align it on short captions (LLaVA-1.5's first stage).

After a kill, the same command goes on from the last saved state; so do the other trainings.

Example:  s4v align 7b
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.code_hash import code_of
from sharegpt4v.models.family import DEFAULT, code_root
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("size", help="the language model: a name in base_models.llm of the config")
    add_config(parser)
    add_path(parser, "--tower", layout.TOWER, "the folder of the vision tower")


def run(options: Namespace) -> None:
    """Write checkpoints/aligned/SIZE."""
    from sharegpt4v.images.usable import usable_images
    from sharegpt4v.training.launch import all_ranks
    from sharegpt4v.training.stages import train_stage

    config = config_of(options)
    ranks = all_ranks(config.compute)
    train_stage(
        (options.tower, layout.llm(options.size)),
        layout.SHORT_CAPTIONS,
        layout.SHORT_CAPTION_IMAGES,
        layout.aligned(options.size),
        config.alignment,
        config.seed,
        layout.work_of("alignment", code_of("verbs.align", code_root(DEFAULT))),
        "alignment",
        ranks,
        config.compute,
        images=usable_images(config, layout.SHORT_CAPTION_IMAGES),
        speeds=layout.speeds_of(layout.aligned(options.size)),
    )
