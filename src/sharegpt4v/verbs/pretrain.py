"""Pre-train a multi-modal model on the captioner's captions (paper section 4.2).

Example:  s4v pretrain 7b
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
    add_path(parser, "--rows", layout.PRETRAINING_CORPUS, "the captions, a LLaVA JSON")


def run(options: Namespace) -> None:
    """Start from checkpoints/aligned/SIZE and write checkpoints/pretrained/SIZE."""
    from sharegpt4v.images.usable import usable_images
    from sharegpt4v.training.launch import all_ranks
    from sharegpt4v.training.stages import train_stage

    config = config_of(options)
    ranks = all_ranks(config.compute)
    train_stage(
        layout.aligned(options.size),
        options.rows,
        layout.DATA,
        layout.pretrained(options.size),
        config.pretraining,
        config.seed,
        layout.work_of("pretraining", code_of("verbs.pretrain", code_root(DEFAULT))),
        "pretraining",
        ranks,
        config.compute,
        images=usable_images(config),
        speeds=layout.speeds_of(layout.pretrained(options.size)),
    )
