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


def run(config: Config, source: str) -> None:
    """Bring a source below data/ and write data/manifests/SOURCE.parquet, and SOURCE.csv for a person to read.

    `source` is a name in sources.use or sources.folder_sources of the config, or a row of the benchmarks' files.
    """
    from sharegpt4v.images.stage import fetch_source
    from sharegpt4v.mini.files_server import serve_folder
    from sharegpt4v.official_files import official_files

    sources = official_files(config) | layout.sources(config)
    if source not in sources:
        raise UserError(f"source {source!r} is not in the config; expected one of {', '.join(sources)}")
    with serve_folder(layout.WORLD) if config.mini else nullcontext() as base_url:
        fetch_source(sources[source], layout.DATA, layout.WORK / "sources", config.sources, base_url)
