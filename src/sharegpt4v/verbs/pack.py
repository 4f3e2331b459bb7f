"""Pack images once into shards, as the captioner is to see them: small, without loss, some hundred files in all.

The shards are webdataset tars, which s4v caption --images reads; the captions are those of the originals. After a kill,
the same command packs only the shards that are missing.

Examples:  s4v pack --images data/manifests/coco.parquet --out packed
           s4v pack --images ~/photographs --out packed --size 224 --aspect square
"""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from pathlib import Path

from sharegpt4v.verbs.options import add_config, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "--images", type=Path, required=True, metavar="PATH", help="a folder of images, or the manifest of a source"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder of the shards")
    parser.add_argument(
        "--size", type=int, default=336, metavar="PIXELS", help="the side of what the model sees (default: 336)"
    )
    parser.add_argument(
        "--aspect", choices=("square", "pad"),
        help="how images become squares: cut, or padded (default: as the captioner is trained by the config)",
    )  # fmt: skip
    parser.add_argument(
        "--upright", action=BooleanOptionalAction,
        help="turn images by their EXIF data (default: captions.upright_photographs of the config; of a manifest, no)",
    )  # fmt: skip
    parser.add_argument(
        "--per-shard", type=int, default=10_000, metavar="NUMBER", help="images in a shard (default: 10000)"
    )
    parser.add_argument(
        "--workers", type=int, metavar="NUMBER", help="processes (default: sources.workers of the config)"
    )
    add_config(parser)


def run(options: Namespace) -> None:
    """Pack what is not packed yet."""
    import sys

    from sharegpt4v.captions.packing import Packing, find_images, pack
    from sharegpt4v.errors import UserError

    for name in ("size", "per_shard", "workers"):
        if (number := getattr(options, name)) is not None and number < 1:
            raise UserError(f"--{name.replace('_', '-')}: {number}; expected a number from 1")
    config, images = config_of(options), options.images.expanduser()
    upright = options.upright
    if upright is None:
        upright = config.captions.upright_photographs and images.suffix != ".parquet"
    aspect = options.aspect or config.captioner.recipe.image_aspect_ratio
    packing = Packing(options.size, aspect, options.per_shard, upright)
    packed, failed = pack(find_images(images), options.out, packing, options.workers or config.sources.workers)
    print(f"{packed:,} images in {options.out}, {failed:,} that cannot be decoded", file=sys.stderr)
