"""Fine-tune a model of the config on its instruction mix (paper section 4.3).

Example:  s4v finetune sharegpt4v-7b
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.code_hash import code_of
from sharegpt4v.models.family import DEFAULT, code_root
from sharegpt4v.verbs.options import add_config, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("model", help="a name in the config's models")
    parser.add_argument(
        "--start", type=Path, metavar="FOLDER", help="the checkpoint to start from (default: by the config)"
    )
    parser.add_argument("--rows", type=Path, metavar="FILE", help="the LLaVA JSON to learn (default: by the config)")
    add_config(parser)


def run(options: Namespace) -> None:
    """Write checkpoints/MODEL/finetuned."""
    from sharegpt4v.images.usable import usable_images
    from sharegpt4v.training.launch import all_ranks
    from sharegpt4v.training.stages import train_stage

    config = config_of(options)
    ranks = all_ranks(config.compute)
    model = layout.model_named(config, options.model)
    train_stage(
        options.start or layout.start_of(model),
        options.rows or layout.rows_of(config, model),
        layout.DATA,
        layout.finetuned(model.name),
        config.finetuning,
        config.seed,
        layout.work_of("finetuning", code_of("verbs.finetune", code_root(DEFAULT))),
        "finetuning",
        ranks,
        config.compute,
        images=usable_images(config),
        speeds=layout.speeds_of(layout.finetuned(model.name)),
    )
