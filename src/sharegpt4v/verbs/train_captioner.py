"""Train the captioner on the seed captions (paper section 3.3: Share-Captioner).

Example:  s4v train-captioner
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v import layout
from sharegpt4v.code_hash import code_of
from sharegpt4v.models.family import DEFAULT, code_root
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_config(parser)
    add_path(parser, "--captions", layout.SEED_CAPTIONS, "the seed captions")
    add_path(parser, "--out", layout.CAPTIONER, "the folder to write")


def run(options: Namespace) -> None:
    """Start from the aligned model of the captioner's size."""
    from sharegpt4v.captions.rows import captioner_rows, read_instruction
    from sharegpt4v.images.usable import usable_images
    from sharegpt4v.training.launch import all_ranks
    from sharegpt4v.training.stages import train_stage

    config = config_of(options)
    ranks = all_ranks(config.compute)
    train_stage(
        layout.aligned(config.captioner.size),
        captioner_rows(options.captions, read_instruction(layout.of_project(config.captioner.instruction))),
        layout.DATA,
        options.out,
        config.captioner.recipe,
        config.seed,
        layout.work_of("captioner", code_of("verbs.train_captioner", code_root(DEFAULT))),
        "captioner",
        ranks,
        config.compute,
        images=usable_images(config),
        speeds=layout.speeds_of(options.out),
    )
