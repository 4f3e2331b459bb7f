"""Show what is known of one source: licence, login, images expected and found, folder, addresses, what to do first.

Example:  s4v where sam
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, config_of

if TYPE_CHECKING:
    from sharegpt4v.catalogues.sources import Source
    from sharegpt4v.config import Config

SHOWN = 4  # of the addresses, where there are many


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("source", help="a name of the catalogue, or in sources.folder_sources of the config")
    add_config(parser)


def run(options: Namespace) -> None:
    """Print a line for each thing that is known."""
    from sharegpt4v.catalogues.sources import read_catalogue
    from sharegpt4v.official_files import official_files

    config = config_of(options)
    used = official_files(config) | layout.sources(config)
    sources = read_catalogue(layout.of_project(config.sources.catalogue)) | used
    if options.source not in sources:
        raise UserError(f"source {options.source!r} is not known; expected one of {', '.join(sources)}")
    source = sources[options.source]
    known = _known(source, options.source in used)
    for name, value in (*known, *_to_do(source, config)):
        print(f"{name:10} {value}")


def _known(source: Source, used: bool) -> Iterator[tuple[str, str]]:
    yield "name", f"{source.name} ({source.kind}{'' if used else ', not used by this config'})"
    if source.about:
        yield "about", source.about
    yield "licence", source.licence
    yield "login", source.login or "none"
    yield "expected", _expected(source)
    yield "found", _found(source)
    yield "folder", f"{layout.DATA / source.folder}"
    addresses = [download.address for download in source.downloads]
    if len(addresses) > SHOWN:
        addresses = [addresses[0], f"... {len(addresses) - 2} more ...", addresses[-1]]
    for address in addresses:
        yield "address", address


def _to_do(source: Source, config: Config) -> Iterator[tuple[str, str]]:
    from sharegpt4v.images.kind import kind_of_source

    if not layout.manifest(source.name).exists():
        for need in kind_of_source(source).needs(source, config):
            yield "to do", need.remedy


def _expected(source: Source) -> str:
    if source.images == 0:
        return "annotation files"
    return f"{source.images:,} images" if source.images else "images, how many is not known"


def _found(source: Source) -> str:
    from collections import Counter

    from sharegpt4v.images.folder import is_placed
    from sharegpt4v.images.manifest import read_manifest

    manifest = layout.manifest(source.name)
    if not manifest.exists():
        folder = layout.DATA / source.folder
        there = "; something is in its folder" if is_placed(folder) else ""
        return f"not fetched yet{there}"
    counts = Counter(row["status"] for row in read_manifest(manifest))
    return ", ".join(f"{counts[status]:,} {status}" for status in ("ok", "broken", "missing")) + f" ({manifest})"
