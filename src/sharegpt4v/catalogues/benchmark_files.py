"""The table `config/benchmark_files.tsv`: where the official files of the benchmarks come from, and what is known of them.

Its rows are sources as those of images are, so they are downloaded, resumed and checked by the same code.
"""

from __future__ import annotations

from pathlib import Path

from sharegpt4v.catalogues.sources import OFFICIAL_COLUMNS, Source, read_catalogue
from sharegpt4v.project import PROJECT

CATALOGUE = PROJECT / "config" / "benchmark_files.tsv"


def read_benchmark_files(path: Path = CATALOGUE) -> dict[str, Source]:
    """Return the rows by name, in file order; their folders are below that of all benchmarks."""
    return read_catalogue(path, OFFICIAL_COLUMNS)
