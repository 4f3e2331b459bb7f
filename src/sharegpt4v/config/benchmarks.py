"""Section ``benchmarks``: the tests that make the columns of the results table (paper §5.1, table 3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.config.generation import Generation
from sharegpt4v.config.section import Fraction

if TYPE_CHECKING:
    BenchmarkName = str
else:
    BenchmarkName = Literal[tuple(read_catalogue())]


class Benchmarks(Generation):
    """Which benchmarks every model answers."""

    root: Path = Field(
        default=Path("data/eval"), description="Path of the folder that holds a folder of official files per benchmark."
    )
    catalogue: Path = Field(
        default=Path("config/benchmark_files.tsv"),
        description="Path of the table of official files (TSV): which benchmarks need each, address, bytes, hash, "
        "licence.",
    )
    missing: Literal["fetch", "report"] = Field(
        default="fetch",
        description="What official files that are not in `root` do. fetch: they are downloaded, and a run for which a "
        "person must bring one stops before it starts anything. report: nothing is downloaded; the columns that lack "
        "files stay empty.",
    )
    names: tuple[BenchmarkName, ...] = Field(
        default=tuple(name for name, benchmark in read_catalogue().items() if benchmark.table == "paper"),
        min_length=1,
        description="Benchmarks to answer, each a row of config/benchmarks.tsv; `mme` makes two columns, "
        "`vqav2-test` and `vizwiz-test` only a file for the evaluation server. The default is the paper's; the columns "
        "of others are in results/table_more.csv.",
    )
    largest_incomplete_fraction: Fraction = Field(
        default=0.01,
        description="Share of a column's answers that may be missing, repeated or for unknown questions; with more, "
        "nothing is scored. Below it they are counted beside the number.",
    )
    raw_answers: bool = Field(
        default=False,
        description="VQA-v2 and VizWiz: whether the official scorer is given the answers as they are. The published "
        "numbers were made with answers that LLaVA's submission scripts had normalised, as false does.",
    )

    @property
    def scored(self) -> list[str]:
        """The names of those that are scored here."""
        return [name for name in self.names if read_catalogue()[name].scoring != "server"]

    @property
    def more(self) -> list[str]:
        """The names of those whose columns are not the paper's."""
        return [name for name in self.scored if read_catalogue()[name].table == "more"]

    @property
    def judged(self) -> list[str]:
        """The names of those that a judge grades."""
        return [name for name in self.names if read_catalogue()[name].scoring == "judge"]

    @property
    def submissions(self) -> list[str]:
        """The names of those that an evaluation server takes answers to."""
        return [name for name in self.names if read_catalogue()[name].submission]
