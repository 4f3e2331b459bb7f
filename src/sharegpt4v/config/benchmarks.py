"""Section ``benchmarks``: the tests that make the columns of the results table (paper §5.1, table 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sharegpt4v.benchmarks.catalogue import read_catalogue
from sharegpt4v.config.section import Count, Section

BenchmarkName = Literal[
    "llava-bench", "mme", "mmbench", "mmbench-cn", "seed", "mm-vet", "qbench", "scienceqa", "vqav2", "vizwiz", "gqa",
    "textvqa",
]  # fmt: skip


class Benchmarks(Section):
    """Which benchmarks every model answers."""

    root: Path = Field(description="Path of the folder that holds a folder of official files per benchmark.")
    names: tuple[BenchmarkName, ...] = Field(min_length=1, description="Benchmarks to answer; `mme` makes two columns.")
    batch_size: Count = Field(description="Questions answered at a time on one device.")

    @property
    def judged(self) -> list[str]:
        """The names of those that a judge grades."""
        catalogue = read_catalogue()
        return [name for name in self.names if catalogue[name].scoring == "judge"]
