"""Answers joined to the questions they answer: what is missing, repeated or unknown is counted, and too much refused.

What the paper's tables are made of is complete. Below the limit, the official rule for missing answers applies; each
benchmark's module states it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import Completeness
from sharegpt4v.evaluation.reading import Row

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Joined(Generic[Key]):
    """The answer rows by question, the last of several, and how complete they are."""

    rows: dict[Key, Row]
    completeness: Completeness

    def text(self, key: Key) -> str | None:
        """Return the answer to a question; None where there is none."""
        return self.rows[key].text("text") if key in self.rows else None


def join(
    asked: Iterable[Key], rows: Sequence[Row], key_of: Callable[[Row], Key], others: Collection[Key] = ()
) -> Joined[Key]:
    """Join answer rows to the questions `asked`, each once unless it is there several times, by a key of both.

    `others` are questions of the benchmark that do not count here: rows that answer them are kept, and are no fault.
    """
    keyed = [(key_of(row), row) for row in rows]
    return Joined({key: row for key, row in keyed}, count(asked, (key for key, _ in keyed), others))


def count(asked: Iterable[Key], answered: Iterable[Key], others: Collection[Key] = ()) -> Completeness:
    """Count what is missing, repeated and unknown in the keys `answered`."""
    wanted, given = Counter(iter(asked)), Counter(iter(answered))  # of a mapping, its keys
    beyond = given - wanted
    faults = {
        "missing": wanted - given,
        "repeated": Counter({key: number for key, number in beyond.items() if key in wanted}),
        "unknown": Counter({key: number for key, number in beyond.items() if key not in wanted and key not in others}),
    }
    return Completeness(
        wanted.total(),
        **{name: keys.total() for name, keys in faults.items()},
        first={name: _shown(next(iter(keys))) for name, keys in faults.items() if keys},
    )


def _shown(key: Hashable) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


@dataclass(frozen=True)
class Limits:
    """Shares of answers that may be missing, repeated or unknown, and of verdicts that may be unreadable."""

    incomplete: float = 0.0
    failed: float = 0.0

    def refuse(self, completeness: Mapping[str, Completeness]) -> None:
        """Raise a `UserError` for the first column with more than that."""
        for column, found in completeness.items():
            if sum(found.faults.values()) - found.failed > self.incomplete * found.expected:
                raise UserError(
                    f"{column}: {found.of_answers()}; expected at most {100 * self.incomplete:g} % "
                    "(benchmarks.largest_incomplete_fraction); answer this benchmark again, or raise that limit"
                )
            if found.failed > self.failed * found.verdicts:
                raise UserError(
                    f"{column}: {found.failed} of {found.verdicts:,} verdicts cannot be read; expected at most "
                    f"{100 * self.failed:g} % (judge.largest_failed_fraction); take another judge, or raise that limit"
                )
