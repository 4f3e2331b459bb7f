"""`s4v fetch`: which official files the benchmarks lack, and bringing those that no person has to bring.

A file is fetched as an image source is, so what is downloaded for a run and what is downloaded here are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal

from sharegpt4v import layout
from sharegpt4v.catalogues.sources import Source
from sharegpt4v.config import Config
from sharegpt4v.doctor.benchmarks import benchmark_finding
from sharegpt4v.errors import UserError
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.mini.files_server import serve_folder
from sharegpt4v.official_files import PLACED, lacking, official_files
from sharegpt4v.terminal import plain_table

UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
COLUMNS = ("file", "size", "state", "licence")


@dataclass(frozen=True)
class File:
    """A row of the catalogue, and how it stands; `remedy` says what a person must do, empty where nothing."""

    row: Source
    state: Literal["there", "to fetch", "fetched", "by hand", "failed"]
    remedy: str = ""

    @property
    def bytes(self) -> int:
        """The size of the downloads as far as it is known."""
        return sum(download.bytes or download.about_bytes or 0 for download in self.row.downloads)

    @property
    def size(self) -> str:
        """The size as people read it, empty where it is not known."""
        if not self.bytes:
            return ""
        unit, name = next((unit for unit in UNITS if self.bytes >= unit[0]), (1, "B"))
        exact = all(download.bytes for download in self.row.downloads)
        return f"{'' if exact else '~'}{self.bytes / unit:.3g} {name}"


def files_of(config: Config, names: Sequence[str]) -> list[File]:
    """Return the files that the benchmarks `names` need, and how each stands."""
    rows = official_files(config, names) or {
        name: replace(source, benchmarks=tuple(names))
        for name, source in layout.sources(config).items()
        if layout.DATA / source.folder == config.benchmarks.root
    }
    files = [_file(config, row) for row in rows.values()]
    lack = {name for file in files if file.state == "to fetch" or file.remedy for name in file.row.benchmarks}
    damaged = {name for name in names if name not in lack and benchmark_finding(config, name).remedy}
    return [
        replace(file, state="to fetch")
        if file.row.kind != PLACED and damaged.intersection(file.row.benchmarks)
        else file
        for file in files
    ]


def bring(config: Config, file: File) -> File:
    """Fetch a file that is to be fetched; return how it stands then. What goes wrong is its remedy, in one line."""
    if file.state != "to fetch":
        return file
    try:
        with serve_folder(_world()) if config.mini else nullcontext() as base_url:
            fetch_source(file.row, layout.DATA, layout.WORK / "sources", config.sources, base_url)
    except UserError as error:
        return replace(file, state="failed", remedy=str(error))
    return replace(file, state="fetched")


def table(files: Sequence[File]) -> Iterator[str]:
    """Yield a table of the files, a line for each, and below it what a person must do."""
    cells = [COLUMNS, *((file.row.name, file.size, file.state, file.row.licence) for file in files)]
    yield plain_table(cells, right=(COLUMNS.index("size"),))
    coming = [file for file in files if file.state == "to fetch"]
    if coming:
        unknown = sum(not file.size for file in coming)
        known = f"{sum(file.bytes for file in coming) / 1e9:,.1f} GB"
        yield f"to fetch: {known}{f', and {unknown} files of unknown size' if unknown else ''}"
    for file in files:
        if file.remedy:
            yield f"{file.state}: {file.row.name}: {file.remedy}"


def _file(config: Config, row: Source) -> File:
    needs = [need.remedy for need in kind_of_source(row).needs(row, config) if need.stops]
    if needs:
        return File(row, "by hand", needs[0])
    there = layout.manifest(row.name).exists() and not lacking(row, config.benchmarks.root)
    return File(row, "there" if there or row.kind == PLACED else "to fetch")


def _world() -> str:
    if not layout.WORLD.is_dir():
        raise UserError(f"{layout.WORLD}: no such folder; `s4v stage synthetic_world` draws the world first")
    return str(layout.WORLD)
