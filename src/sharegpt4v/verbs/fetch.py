"""Fetch one source of images or annotations: download, unpack, check every image, write the manifest.

Example:  s4v fetch coco
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import nullcontext
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, config_of

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.images.settings import FetchSettings


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
        fetch_source(sources[options.source], layout.DATA, work, fetch_settings(config), base_url)


def fetch_settings(config: Config) -> FetchSettings:
    """Turn the section `sources` into what the stage takes."""
    from sharegpt4v.images.crawler import Crawler
    from sharegpt4v.images.members import Limits
    from sharegpt4v.images.settings import FetchSettings

    section, crawler = config.sources, config.sources.img2dataset
    keep_free_bytes = round(section.keep_free_gigabytes * 1e9)
    return FetchSettings(
        workers=section.workers,
        missing=section.missing,
        largest_bad_fraction=section.largest_bad_fraction,
        smallest_success_rate=section.smallest_success_rate,
        most_pixels=round(section.largest_image_megapixels * 1e6),
        limits=Limits(section.largest_unpacking_ratio, section.largest_archive_entries, keep_free_bytes),
        keep_archives=section.keep_archives,
        link_files=section.link_files,
        crawler=Crawler(
            layout.of_project(crawler.command),
            crawler.threads,
            crawler.timeout_seconds,
            crawler.retries,
            private=section.allow_private_addresses,
        ),
    )
