"""The table `config/benchmarks.tsv`: which benchmarks there are, their columns, folders, splits and question counts."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.project import PROJECT

CATALOGUE = PROJECT / "config" / "benchmarks.tsv"
FIELDS = [
    "name", "module", "columns", "table", "folder", "split", "questions", "scoring", "scorer", "submission", "source",
]  # fmt: skip
TABLES = ("paper", "more")


@dataclass(frozen=True)
class Benchmark:
    """One row: `columns` of a results table, `folder` under the evaluation folder, `questions` of the official split.

    `table` is "paper" for what is in the paper's Tables 2 and 3, "more" for what has been added since.
    `scoring` is "local", "judge" (a model that grades) or "server" (one that has the answers to itself, so there are no
    columns); `scorer` names the official program whose rule is followed. `submission` is the name of the file that an
    evaluation server takes, empty where there is none; `source` says where the official files come from.
    """

    name: str
    module: str
    columns: tuple[str, ...]
    table: str
    folder: str
    split: str
    questions: int
    scoring: str
    scorer: str
    submission: str
    source: str

    def what_to_get(self, error: MissingFile) -> str:
        """Say which file is missing, and where it comes from."""
        return f"{error}; it comes from {self.source}"


@functools.cache
def read_catalogue(path: Path = CATALOGUE) -> dict[str, Benchmark]:
    """Return the benchmarks by name, in the order of the file. A row that does not fit is a `UserError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the table of benchmarks") from None
    reader = csv.DictReader(lines, delimiter="\t")
    if reader.fieldnames != FIELDS:
        raise UserError(f"{path}, line 1: columns {reader.fieldnames}; expected {', '.join(FIELDS)}")
    benchmarks: dict[str, Benchmark] = {}
    for row in reader:
        if None in row or None in row.values() or not row["questions"].isdecimal():
            raise UserError(f"{path}, line {reader.line_num}: expected {len(FIELDS)} fields, questions a whole number")
        if row["table"] not in TABLES:
            raise UserError(
                f"{path}, line {reader.line_num}: table {row['table']!r}; expected one of {', '.join(TABLES)}"
            )
        benchmarks[row["name"]] = Benchmark(
            name=row["name"],
            module=row["module"],
            columns=tuple(row["columns"].split(",")) if row["columns"] else (),
            table=row["table"],
            folder=row["folder"],
            split=row["split"],
            questions=int(row["questions"]),
            scoring=row["scoring"],
            scorer=row["scorer"],
            submission=row["submission"],
            source=row["source"],
        )
    return benchmarks


def benchmark_named(name: str, path: Path = CATALOGUE) -> Benchmark:
    """Return one benchmark; an unknown name is a `UserError` that lists the known ones."""
    benchmarks = read_catalogue(path)
    if name not in benchmarks:
        raise UserError(f"benchmark {name!r} is not in {path}; expected one of {', '.join(benchmarks)}")
    return benchmarks[name]
