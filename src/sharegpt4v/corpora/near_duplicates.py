"""Captions that are nearly another caption of their set.

Two captions are near-duplicates when four fifths of the runs of five words that either has are in both. That is
estimated: MinHash keeps 16 numbers of each caption, and as many agree, on average, as the share of common runs. Only
captions that agree in one of four parts of these numbers are compared, so no pair has to be tried.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RUN = 5
BANDS, ROWS = 4, 4
LEAST_COMMON = 13  # of the 16 numbers: four fifths

Hashes = NDArray[np.uint64]

_random = np.random.Generator(np.random.PCG64(2311_12793))
MULTIPLIERS = _random.integers(1 << 63, size=BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
SHIFTS = _random.integers(1 << 63, size=BANDS * ROWS, dtype=np.uint64)


def hashes_of_runs(words: Hashes, captions: NDArray[np.int64], length: int) -> Hashes:
    """Return a hash for each word of the `length` words that begin with it, or as many as its caption still has.

    `words` are the hashes of the words of many captions, one after another; `captions` says of which caption each is.
    """
    runs = words.copy()
    for step in range(1, min(length, len(words))):
        runs *= np.uint64(0x9E3779B97F4A7C15)
        runs[:-step] += np.where(captions[step:] == captions[:-step], words[step:], np.uint64(0))
    return runs


def sketches(words: Hashes, captions: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return 16 numbers for each caption that has words, in their order; the arguments are as for `hashes_of_runs`."""
    runs = hashes_of_runs(words, captions, RUN)
    starts = np.flatnonzero(np.diff(captions, prepend=-1))
    made = np.empty((len(starts), BANDS * ROWS), dtype=np.uint32)
    for column, (shift, multiplier) in enumerate(zip(SHIFTS, MULTIPLIERS, strict=True)):
        made[:, column] = np.minimum.reduceat((runs ^ shift) * multiplier, starts) >> np.uint64(32)
    return made


def near_duplicates(made: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return for each sketch whether another one is nearly the same."""
    found = np.zeros(len(made), dtype=bool)
    for band in np.split(made, BANDS, axis=1):
        order = np.lexsort(band.T)
        ordered = band[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
        near = (order != first) & ((made[order] == made[first]).sum(axis=1) >= LEAST_COMMON)
        found[order[near]] = True
        found[first[near]] = True
    return found
