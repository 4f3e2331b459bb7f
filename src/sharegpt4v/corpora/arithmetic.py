"""The row arithmetic of the corpora: how many rows of each source there were, went out, came in, and are there now.

A corpus that is made here has it in a file beside it, as `results/mixture.csv` has it for every corpus of a run (the
paper's mix: 665,298 rows, of which 23,240 go out and 23,000 come in, make 665,058).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharegpt4v.corpora.rows import source_of
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, read_jsonl, sidecar, write_csv, write_json
from sharegpt4v.llava_format.checks import image_of
from sharegpt4v.llava_format.reading import read_array

COLUMNS = ("rows_before", "rows_out", "rows_in", "rows_after")
TEXT = "text"
"""The source of rows without an image."""


@dataclass
class Arithmetic:
    """Rows by source: those there were, those that went out, those that came in."""

    before: Counter[str] = field(default_factory=Counter)
    out: Counter[str] = field(default_factory=Counter)
    come: Counter[str] = field(default_factory=Counter)

    def sources(self) -> dict[str, dict[str, int]]:
        """Return `COLUMNS` of each source, by name."""
        names = sorted({*self.before, *self.out, *self.come})
        return {name: _numbers(self.before[name], self.out[name], self.come[name]) for name in names}

    def total(self) -> dict[str, int]:
        """Return `COLUMNS` of all sources together."""
        return _numbers(self.before.total(), self.out.total(), self.come.total())

    def write(self, corpus: Path) -> None:
        """Write it beside a corpus."""
        write_json(arithmetic_file(corpus), {**self.total(), "sources": self.sources()})


def arithmetic_file(corpus: Path) -> Path:
    """Return the path of the arithmetic of a corpus."""
    return sidecar(corpus, "arithmetic.json")


def row_source(row: Any, place: str) -> str:
    """Return the source of the LLaVA row at `place`: the first folder of its image, or `TEXT`."""
    image = image_of(row, place)
    return source_of(image) if image else TEXT


def count_rows(corpus: Path) -> Arithmetic:
    """Count the rows of a corpus; those that were set aside when it was made, if it was, went out."""
    rows = enumerate(read_array(corpus), start=1)
    found = Arithmetic(Counter(row_source(row, f"{corpus}, row {number}") for number, row in rows))
    if not found.before:
        raise UserError(f"{corpus}: no rows in it; expected a JSON array of LLaVA rows")
    rejected = sidecar(corpus, "rejected.jsonl")
    if rejected.exists():
        found.out.update(_sources_of(rejected))
        found.before.update(found.out)
    return found


def _sources_of(rejected: Path) -> Iterator[str]:
    for number, row in enumerate(read_jsonl(rejected), start=1):
        source = row.get("source") if isinstance(row, dict) else None
        if not isinstance(source, str):
            raise UserError(f"{rejected}, row {number}, field 'source': expected a text; make the corpus again")
        yield source


def write_mixture(corpora: Sequence[tuple[Path, bool]], out: Path) -> None:
    """Write the arithmetic of each corpus, of which is said whether it was made here: a line per source, then the sum.

    A missing or broken corpus is a `UserError`.
    """
    write_csv(out, [("corpus", "source", *COLUMNS), *(line for corpus in corpora for line in _lines(*corpus))])


def _lines(corpus: Path, made: bool) -> Iterator[Sequence[Any]]:
    beside = arithmetic_file(corpus)
    if made and beside.exists():
        found = read_json(beside)
    else:
        counted = count_rows(corpus)
        found = {**counted.total(), "sources": counted.sources()}
    try:
        for source, numbers in {**found["sources"], "total": found}.items():
            yield corpus.name, source, *(f"{numbers[column]:d}" for column in COLUMNS)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{beside}: not the arithmetic of a corpus; delete it and make the corpus again") from None


def _numbers(before: int, out: int, come: int) -> dict[str, int]:
    return dict(zip(COLUMNS, (before, out, come, before - out + come), strict=True))
