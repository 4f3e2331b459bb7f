"""What people prefer: they see an image and its two captions without knowing whose they are, in an order by chance.

Every choice is in a ledger the moment it is given. It is about these two texts: other captions of the image have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sharegpt4v.caption_quality.outcomes import FIRST, SECOND, TIE, A, B, Preference
from sharegpt4v.caption_quality.pairs import Pair
from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.ledger import Ledger, key_of, read_ledger

CHOICES = (FIRST, SECOND, TIE)


class Study:
    """The choices of one person about some pairs, in the order of the pairs; one writer of a ledger at a time."""

    def __init__(self, pairs: Sequence[Pair], person: str, path: Path) -> None:
        self.pairs, self.person = list(pairs), person
        self._ledger = Ledger(path)
        self._past: list[int] = []

    def next(self) -> int | None:
        """Return the number of the first pair that has no choice; None when all have one."""
        return next((number for number, pair in enumerate(self.pairs) if not self._choice(pair)), None)

    def shown(self, number: int) -> tuple[str, str]:
        """Return the two captions of a pair in the order in which this person sees them."""
        pair = self.pairs[number]
        return (pair.b, pair.a) if _swapped(pair, self.person) else (pair.a, pair.b)

    def choose(self, number: int, choice: str) -> None:
        """Keep a choice, one of `CHOICES`; it is on disk on return."""
        self._keep(number, choice)
        self._past.append(number)

    def undo(self) -> bool:
        """Take the last choice of this session back; False when there is none left."""
        if not self._past:
            return False
        self._keep(self._past.pop(), None)
        return True

    def _choice(self, pair: Pair) -> str | None:
        key = _key(pair, self.person)
        return self._ledger[key]["choice"] if key in self._ledger else None

    def _keep(self, number: int, choice: str | None) -> None:
        pair = self.pairs[number]
        self._ledger.append(_key(pair, self.person), {"image": pair.image, "person": self.person, "choice": choice})

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()


def preferences_of_people(pairs: Sequence[Pair], path: Path) -> list[Preference]:
    """Return what people have chosen so far about the pairs, a row for each person and pair; none without a file."""
    records: list[dict[str, Any]] = list(read_ledger(path)) if path.exists() else []
    given = {one["key"]: one["choice"] for one in records}
    found = []
    for person in sorted({one["person"] for one in records}):
        for pair in pairs:
            if choice := given.get(_key(pair, person)):
                better = TIE if choice == TIE else A if (choice == FIRST) != _swapped(pair, person) else B
                found.append(Preference(pair.image, pair.source, better, (choice,)))
    return found


def _key(pair: Pair, person: str) -> str:
    return key_of("preference", person, pair.image, pair.a.strip(), pair.b.strip())


def _swapped(pair: Pair, person: str) -> bool:
    return hash_fraction(0, f"order for {person}", pair.image) < 0.5
