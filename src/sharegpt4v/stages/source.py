"""Fetch one source of images or annotations: download, unpack, check every image, write the manifest.

Example:  s4v stage source coco
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.images.settings import FetchSettings


def run(config: Config, source: str) -> None:
    """Bring a source below data/ and write data/manifests/SOURCE.parquet, and SOURCE.csv for a person to read.

    `source` is a name in sources.use or sources.folder_sources of the config.
    """
    from sharegpt4v.images.stage import fetch_source
    from sharegpt4v.mini.files_server import serve_folder

    sources = layout.sources(config)
    if source not in sources:
        raise UserError(f"source {source!r} is not in the config; expected one of {', '.join(sources)}")
    with serve_folder(layout.WORLD) if config.mini else nullcontext() as base_url:
        fetch_source(sources[source], layout.DATA, layout.WORK / "sources", fetch_settings(config), base_url)


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
