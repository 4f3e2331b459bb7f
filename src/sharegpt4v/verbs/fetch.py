"""Fetch one source of images or annotations: download, unpack, check every image, write the manifest.

Example:  s4v fetch coco
"""

from __future__ import annotations

import shutil
from argparse import ArgumentParser, Namespace
from contextlib import nullcontext
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, config_of

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.images.stage import FetchSettings


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("source", help="a name in sources.use or sources.folder_sources of the config")
    add_config(parser)


def run(options: Namespace) -> None:
    """Bring the source below data/ and write data/manifests/SOURCE.parquet."""
    from sharegpt4v.images.manifest import manifest_path
    from sharegpt4v.images.stage import fetch_source
    from sharegpt4v.mini.files_server import serve_folder

    config = config_of(options)
    sources = layout.sources(config)
    if options.source not in sources:
        raise UserError(f"source {options.source!r} is not in the config; expected one of {', '.join(sources)}")
    source, work = sources[options.source], layout.WORK / "sources"
    manifest = manifest_path(layout.DATA, source.name)
    with serve_folder(layout.WORLD) if config.mini else nullcontext() as base_url:
        try:
            fetch_source(source, layout.DATA, work, fetch_settings(config), base_url)
        except UserError as error:
            if not manifest.exists():
                raise
            # Snakemake deletes what a failed job made, and this list is wanted most just then.
            kept = work / source.name / "refused.parquet"
            shutil.copyfile(manifest, kept)
            raise UserError(str(error).replace(str(manifest), str(kept))) from None


def fetch_settings(config: Config) -> FetchSettings:
    """Turn the section `sources` into what the stage takes."""
    from sharegpt4v.images.stage import FetchSettings
    from sharegpt4v.images.urls import Crawler

    section, crawler = config.sources, config.sources.img2dataset
    return FetchSettings(
        workers=section.workers,
        largest_bad_fraction=section.largest_bad_fraction,
        smallest_success_rate=section.smallest_success_rate,
        crawler=Crawler(layout.of_project(crawler.command), crawler.threads, crawler.timeout_seconds, crawler.retries),
    )
