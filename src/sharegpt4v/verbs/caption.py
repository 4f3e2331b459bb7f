"""Caption any images with any model, each caption with the verdict of the quality gate.

--images is an image, a folder of images, tar shards (webdataset: a .tar, or a folder of them), a Hugging Face data set
on disk (a folder as save_to_disk writes it, or Parquet files, with a column `image`), or the manifest of a source.
Shards and data sets are unpacked once, into .work/sources/_own-images, which takes as much disk as they do.

--out is written by its suffix: .jsonl, JSON lines; .json, LLaVA JSON, accepted captions only; .parquet; .tar, a
webdataset of images and captions. A row has image, caption, sha256, prompt_hash, model, finish_reason and verdict
("accepted", or why not, by captions.quality of the config), or image and error where there is no caption.

A captioner of the miniature has seen drawn scenes only. What it says of photographs is invented, and a line says so.

Every caption is on disk the moment it exists: after a kill, the same command asks only for what is missing.

Cameras store many photographs sideways and say so in the EXIF data: images are turned upright, as you see them. Those
of a manifest are read as they are stored, as in the paper's code.

Examples:  s4v caption --model checkpoints/captioner --images ~/photographs --out captions.jsonl
           s4v caption --images holiday.jpg --out caption.jsonl
           s4v caption --images shards --out captions.tar --review captions.html
           s4v caption --base-url http://127.0.0.1:8000/v1 --model Qwen/Qwen2.5-VL-7B-Instruct --images . --out a.json
           s4v caption --base-url https://api.openai.com/v1 --model gpt-4o --budget 5 --images shards --out shards.tar
"""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.code_hash import code_of
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import code_roots
from sharegpt4v.miniature import NOTICE, is_miniature, of_miniature
from sharegpt4v.stages.captions import generation_settings
from sharegpt4v.verbs.options import add_config, add_engine, asked_by, config_of

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.config.generation import Generation

STORE = layout.WORK / "sources/_own-images"  # no source's name begins so
DRAWN = (
    "has been trained on drawn scenes only, and invents what it says of other images; for real ones, import a model "
    "(s4v import Lin-Chen/ShareCaptioner --out checkpoints/share-captioner) or ask a served one (--base-url)"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--model", metavar="PATH",
        help=f"the folder of a captioner (default: {layout.CAPTIONER}), or the name of a served model",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=Path, required=True, metavar="PATH",
        help="an image, a folder of images or .tar shards, a data set, or the manifest of a source",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the captions to write: .jsonl, .json, .parquet or .tar"
    )
    parser.add_argument(
        "--prompt", type=Path, metavar="FILE", help="the instruction to the model (default: the captioner's)"
    )
    parser.add_argument("--review", type=Path, metavar="FILE", help="an HTML page to write: images, verdicts, captions")
    parser.add_argument(
        "--budget", type=float, metavar="USD",
        help="send an endpoint nothing that could pass this, with all that captions by its model cost in this folder",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="say how many images, tokens and dollars it will be, and ask nothing"
    )
    parser.add_argument(
        "--upright", action=BooleanOptionalAction,
        help="turn images by their EXIF data (default: captions.upright_photographs of the config; of a manifest, no)",
    )  # fmt: skip
    add_engine(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Caption what is not captioned yet."""
    from sharegpt4v.captions.folder import caption_folder
    from sharegpt4v.captions.forecast import forecast
    from sharegpt4v.captions.inputs import find_images, is_manifest
    from sharegpt4v.captions.outputs import writer_of
    from sharegpt4v.captions.rows import read_instruction
    from sharegpt4v.stages.endpoints import known_prices, within_budget

    config, images = config_of(options), options.images.expanduser()
    writer_of(options.out)
    configured = config.captions.endpoint
    model, generation = asked_by(options, config.captions, layout.CAPTIONER)
    endpoint = generation.endpoint if model is None else None
    if endpoint:
        endpoint = within_budget(endpoint, configured, options.budget)
        generation = generation.model_copy(update={"endpoint": endpoint})
    elif options.budget is not None:
        raise UserError(f"--budget: for the engine endpoint; a model asked by {generation.engine} costs nothing")
    drawn = model is not None and of_miniature(model)
    if drawn and not _of_world(config, images):
        print(f"{model}: {DRAWN}", file=sys.stderr)
    upright = options.upright
    if upright is None:
        upright = config.captions.upright_photographs and not is_manifest(images)
    how = replace(generation_settings(config), upright=upright, generation=generation)
    if options.prompt:
        how = replace(how, instruction=read_instruction(options.prompt))
    work, found = _work(model, generation), find_images(images, STORE, config.sources)
    if options.dry_run:
        prices = known_prices(endpoint, configured) if endpoint else None
        expected = forecast(model, found, how, work, prices.image_tokens if prices else None)
        print(expected)
        if endpoint and not prices:
            print(f"what they cost is not known: set captions.endpoint.budget of the config for {endpoint.model}")
        else:
            usd = prices.usd(expected.prompt_tokens or 0, expected.completion_tokens) if prices else 0
            print(f"at most {math.ceil(100 * usd) / 100:,.2f} USD")
        return
    caption_folder(
        model, found, options.out, how, config.captions.quality, work, options.review, NOTICE if drawn else ""
    )


def _of_world(config: Config, images: Path) -> bool:
    """Say whether images are of the synthetic world: the manifest of one of its sources, not of a folder of yours."""
    manifests = {layout.manifest(name).resolve() for name in config.sources.use}
    return is_miniature(config) and images.resolve() in manifests


def _work(model: Path | None, generation: Generation) -> Path:
    """Return the folder of captions: what was paid for outlives changes of the code."""
    if generation.endpoint and model is None:
        return layout.work_of("own-captions", "endpoint", generation.endpoint.model)
    return layout.work_of("own-captions", code_of("captions.captioning", *code_roots(generation.engine, model)))
