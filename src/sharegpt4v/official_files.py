"""Which rows of the table `benchmarks.catalogue` the benchmarks of a config need, and which files a person has brought.

What a person has put there is checked and listed as it is, and never downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.catalogues.sources import OFFICIAL_COLUMNS, Source, read_catalogue
from sharegpt4v.config import Config

PLACED = "placed"


def official_files(config: Config, names: Collection[str] | None = None) -> dict[str, Source]:
    """Return the rows by name that the benchmarks `names` need, by default all of the config, with folders below data/.

    A row whose files are there, without a download of ours, is of kind "placed", and its folder that of all benchmarks.
    Nothing is returned where a source of the config brings the benchmarks, as in the miniature.
    """
    root = config.benchmarks.root
    if layout.is_provided(config, root):
        return {}
    wanted = config.benchmarks.names if names is None else names
    found = {}
    for row in read_catalogue(layout.of_project(config.benchmarks.catalogue), OFFICIAL_COLUMNS).values():
        if needed := tuple(name for name in row.benchmarks if name in wanted):
            row = replace(row, benchmarks=needed, gives=_patterns(row, needed))
            placed = row.kind == PLACED or not (is_begun(row) or lacking(row, root))
            folder = root if placed else root / row.folder
            found[row.name] = replace(row, kind=PLACED if placed else row.kind, folder=_below_data(folder))
    return found


def lacking(row: Source, root: Path) -> list[str]:
    """Return the patterns of a row that nothing below `root`, the folder of all benchmarks, fits."""
    return [pattern for pattern in row.gives if not any(root.glob(pattern))]


def is_begun(row: Source) -> bool:
    """Say whether a row was downloaded here, or a part of it."""
    return (layout.WORK / "sources" / row.name / "downloads").is_dir()


def _patterns(row: Source, names: Collection[str]) -> tuple[str, ...]:
    """The patterns of a row below the folders of the benchmarks `names`; all where none says which it is for."""
    folders = {benchmark_named(name).folder for name in names}
    return tuple(one for one in row.gives if one.partition("/")[0] in folders) or row.gives


def _below_data(folder: Path) -> str:
    if folder.is_relative_to(layout.DATA):
        return folder.relative_to(layout.DATA).as_posix()
    return folder.as_posix() if folder.is_absolute() else os.path.relpath(folder, layout.DATA)
