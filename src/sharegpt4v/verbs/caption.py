"""Caption your own photographs: JSON lines of {image, caption}, or {image, error} for one that cannot be read.

Example:  s4v caption --model checkpoints/captioner --images ~/photographs --out captions.jsonl
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.stage_code import code_of
from sharegpt4v.verbs.caption_shard import asking
from sharegpt4v.verbs.options import add_config, add_path, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    add_path(parser, "--model", layout.CAPTIONER, "the folder of a captioner")
    parser.add_argument(
        "--images", type=Path, required=True, metavar="FOLDER", help="a folder of images, or the manifest of a source"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the JSON lines to write")
    add_config(parser)


def run(options: Namespace) -> None:
    """Caption what is not captioned yet."""
    from sharegpt4v.captioner.folder import caption_folder

    config = config_of(options)
    work = layout.work_of("own-captions", code_of("captioner.describing"))
    caption_folder(options.model, options.images.expanduser(), options.out, asking(config), work)
