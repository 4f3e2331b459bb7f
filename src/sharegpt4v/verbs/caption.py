"""Caption your own photographs: JSON lines of {image, caption}, or {image, error} for one that cannot be read.

Cameras store many photographs sideways and say so in the EXIF data: those of a folder are turned upright, as you see
them. Images of a source are read as they are stored, as in the paper's code.

Examples:  s4v caption --model checkpoints/captioner --images ~/photographs --out captions.jsonl
           s4v caption --images holiday.jpg --out caption.jsonl
           s4v caption --images ~/photographs --no-upright --out captions.jsonl
"""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import replace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.code_hash import code_of
from sharegpt4v.generation.engine import code_roots
from sharegpt4v.stages.captions import generation_settings
from sharegpt4v.verbs.options import add_config, add_engine, asked_by, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--model", metavar="PATH",
        help=f"the folder of a captioner (default: {layout.CAPTIONER}), or the name of a served model",
    )  # fmt: skip
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="PATH",
        help="an image, a folder of them, or the manifest of a source",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the JSON lines to write")
    parser.add_argument(
        "--upright", action=BooleanOptionalAction,
        help="turn images by their EXIF data (default: captions.upright_photographs of the config; of a manifest, no)",
    )  # fmt: skip
    add_engine(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Caption what is not captioned yet."""
    from sharegpt4v.captions.folder import caption_folder

    config, images = config_of(options), options.images.expanduser()
    model, generation = asked_by(options, config.captions, layout.CAPTIONER)
    work = layout.work_of("own-captions", code_of("captions.captioning", *code_roots(generation.engine, model)))
    upright = options.upright
    if upright is None:
        upright = config.captions.upright_photographs and images.suffix != ".parquet"
    how = replace(generation_settings(config), upright=upright, generation=generation)
    caption_folder(model, images, options.out, how, work)
