"""Run one job of a stage, as the rules of the pipeline do.

A job reads the config of the run in this folder and writes where that run expects it. After a kill, the same command
resumes.

Examples:  s4v stage captioner
           s4v stage finetuning sharegpt4v-7b
           s4v stage captions 00000-of-00002
"""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from sharegpt4v.pipeline.stages import STAGES, is_training
from sharegpt4v.verbs.options import add_config, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add a command for each stage."""
    commands = parser.add_subparsers(
        title="stages, in the order of the pipeline", metavar="STAGE", dest="stage", required=True
    )
    for name, stage in STAGES.items():
        about = (importlib.import_module(f"sharegpt4v.stages.{name}").__doc__ or "").strip()
        command = commands.add_parser(
            name, help=about.partition("\n")[0], description=about, formatter_class=RawDescriptionHelpFormatter
        )
        if stage.item:
            command.add_argument("item", metavar=stage.item.upper(), help=f"the {stage.item} that the job is about")
        add_config(command)


def run(options: Namespace) -> None:
    """Run the job."""
    from sharegpt4v.follower import Follower, job_key

    run_stage = importlib.import_module(f"sharegpt4v.stages.{options.stage}").run
    config, items = config_of(options), [options.item] if STAGES[options.stage].item else []
    name = "/".join([options.stage, *items])
    # A training shows itself, with its curves, and its process may be replaced by several; tracking shows the others.
    followed = None if is_training(options.stage) or options.stage == "tracking" else config.tracking
    with Follower(followed, name, options.stage, job_key(Path(), name, config)):
        run_stage(config, *items)
