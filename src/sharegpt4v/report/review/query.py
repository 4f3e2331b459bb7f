"""Which rows of an index pass a filter, and a page of them: behind or in front of a row, never by an offset."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharegpt4v.report.review.index import Index
from sharegpt4v.report.review.search import BLOCK, Numbers, Search, match_of

NONE, ACCEPTED, REJECTED = 0, 1, 2
VERDICTS = {"none": NONE, "accepted": ACCEPTED, "rejected": REJECTED}
"""Verdicts of a person, by what a filter calls them."""
FEW = 10_000
"""Rows that are looked up one by one in a search."""
SECONDS = 0.08
"""How long a page is counted for; each further page knows more."""


@dataclass(frozen=True)
class Filter:
    """What rows must be like; what is None or empty does not count. Lengths are in characters, `text` as `match_of`."""

    source: str | None = None
    reason: str | None = None
    verdict: str | None = None
    shortest: int | None = None
    longest: int | None = None
    text: str = ""


@dataclass(frozen=True)
class Page:
    """Some rows, and how many pass the filter: at least `total`, and no more where that is `exact`.

    `first` is the place of the first row among them, from 1; None where what is in front was not counted.
    """

    numbers: list[int]
    first: int | None
    total: int
    exact: bool = True


class Query:
    """Answers filters. `verdicts` holds a person's verdict about each row, and may change between the calls."""

    def __init__(self, index: Index, verdicts: NDArray[np.int8]) -> None:
        self.index, self.verdicts = index, verdicts
        self._search = Search(index.database, len(index))

    def page(self, wanted: Filter, size: int, after: int | None = None, before: int | None = None) -> Page:
        """Return up to `size` rows behind row `after`, or the last ones in front of row `before`."""
        began, passes, words = time.monotonic(), self._passes(wanted), match_of(wanted.text)
        passing = np.flatnonzero(passes)
        if words and len(passing) > FEW:
            return self._searched(words, passes, size, after, before, began)
        if words:
            passing = self._search.among(words, passing)
        numbers, start = _cut(passing, size, after, before)
        return Page(numbers.tolist(), start + 1, len(passing))

    def _passes(self, wanted: Filter) -> NDArray[np.bool_]:
        """Say of every row whether it passes all but the search."""
        passes = np.ones(len(self.index), bool)
        for field, name, names in (
            ("source", wanted.source, self.index.sources),
            ("reason", wanted.reason, self.index.reasons),
        ):
            if name is not None:
                passes &= self.index.facets[field] == (names.index(name) if name in names else len(names))
        if wanted.verdict is not None:
            passes &= self.verdicts == VERDICTS.get(wanted.verdict, -1)
        if wanted.shortest is not None:
            passes &= self.index.facets["length"] >= wanted.shortest
        if wanted.longest is not None:
            passes &= self.index.facets["length"] <= wanted.longest
        return passes

    def _searched(
        self, words: str, passes: NDArray[np.bool_], size: int, after: int | None, before: int | None, began: float
    ) -> Page:
        """Search from where the page begins until it is full, then count on in the time that is left."""

        def found(block: int) -> Numbers:
            numbers = self._search.block(words, block)
            return numbers[passes[numbers]]

        blocks, taken = self._search.blocks, np.empty(0, np.int64)
        last = blocks[-1]
        if before is not None:
            order = range(min(before // BLOCK, last), -1, -1)
        else:
            order = range(min(0 if after is None else (after + 1) // BLOCK, last), last + 1)
        for block in order:
            here = found(block)
            taken = np.concatenate([here, taken] if before is not None else [taken, here])
            page, _ = _cut(taken, size, after, before)
            if len(page) == size:
                break
        counts = [
            len(found(block)) if self._search.is_known(words, block) or time.monotonic() - began < SECONDS else None
            for block in blocks
        ]
        first = None
        if len(page):
            known = counts[: page[0] // BLOCK]
            first = None if None in known else sum(filter(None, known)) + _place(found(page[0] // BLOCK), page[0])
        return Page(page.tolist(), first, sum(filter(None, counts)), None not in counts)


def _cut(passing: Numbers, size: int, after: int | None, before: int | None) -> tuple[Numbers, int]:
    """Return a page of numbers that are in order, and where it begins among them."""
    if before is not None:
        stop = int(np.searchsorted(passing, before))
        start = max(0, stop - size)
    else:
        start = 0 if after is None else int(np.searchsorted(passing, after, side="right"))
        stop = start + size
    return passing[start:stop], start


def _place(numbers: Numbers, number: int) -> int:
    return int(np.searchsorted(numbers, number)) + 1
