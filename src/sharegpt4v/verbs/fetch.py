"""Fetch one source of images or annotations: download, unpack, check every image, write the manifest.

Example:  s4v fetch coco
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import nullcontext

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("source", help="a name in sources.use or sources.folder_sources of the config")
    add_config(parser)


def run(options: Namespace) -> None:
    """Bring the source below data/ and write data/manifests/SOURCE.parquet, and SOURCE.csv for a person to read."""
    from sharegpt4v.images.stage import fetch_source
    from sharegpt4v.mini.files_server import serve_folder

    config = config_of(options)
    sources = layout.sources(config)
    if options.source not in sources:
        raise UserError(f"source {options.source!r} is not in the config; expected one of {', '.join(sources)}")
    with serve_folder(layout.WORLD) if config.mini else nullcontext() as base_url:
        work = layout.WORK / "sources"
        fetch_source(sources[options.source], layout.DATA, work, config.sources, base_url)
