"""Splits of a data set: a row goes where a seeded hash of its image says, so all rows of an image stay together, and
the split of an image is the same in every set of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.errors import UserError
from sharegpt4v.image_paths import plain_name
from sharegpt4v.sharing.columns import Row

TRAIN = "train"


@dataclass(frozen=True)
class Splits:
    """The splits by name, each with its part of the images; what is left is `train`."""

    seed: int
    fractions: Mapping[str, float]

    def of(self, row: Row, number: int) -> str:
        """Return the split of a row; one without an image goes by its number."""
        place = hash_fraction(self.seed, "split", row["image_path"] or f"row {number}")
        for name, fraction in self.fractions.items():
            if place < fraction:
                return name
            place -= fraction
        return TRAIN

    def rows(self, rows: Callable[[], Iterator[Row]], split: str) -> Iterator[Row]:
        """Yield the rows of one split, in order."""
        return (row for number, row in enumerate(rows()) if self.of(row, number) == split)


@dataclass
class Counts:
    """How many rows a set has: by split, by source, and of captions by verdict, "accepted" or the reason."""

    splits: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)


def parse_splits(texts: Sequence[str], seed: int) -> Splits:
    """Return the splits of texts such as `validation=0.01`; a `UserError` names a text that is none."""
    fractions: dict[str, float] = {}
    for text in texts:
        name, _, part = text.partition("=")
        try:
            fraction = float(part)
            name_is_plain = bool(plain_name(name)) and name.isidentifier() and name != TRAIN and name not in fractions
        except ValueError:
            name_is_plain, fraction = False, 0.0
        if not name_is_plain or not 0 < fraction < 1:
            raise UserError(f"--splits {text}: expected NAME=FRACTION, as validation=0.01; the rest is {TRAIN}")
        fractions[name] = fraction
    if sum(fractions.values()) >= 1:
        raise UserError(f"--splits: the fractions add up to {sum(fractions.values()):g}; expected less than 1")
    return Splits(seed, fractions)


def count_rows(rows: Iterator[Row], splits: Splits) -> Counts:
    """Count the rows of a set; a `UserError` when one of the splits would be empty."""
    counts = Counts(splits=Counter({name: 0 for name in (TRAIN, *splits.fractions)}))
    for number, row in enumerate(rows):
        counts.splits[splits.of(row, number)] += 1
        counts.sources[row["source"]] += 1
        if "status" in row:
            counts.verdicts[row["reason"] or row["status"]] += 1
    for name, number in counts.splits.items():
        if not number:
            raise UserError(
                f"split {name}: none of {counts.splits.total():,} rows; expected some, so take other splits"
            )
    return counts
