"""What the captions of a set are like: how long, of which words, how repetitive (paper, Table 1 and supplement).

A word is a run of letters and digits, with what hyphens and apostrophes join to it; capitals do not count. A sentence
ends where a full stop, question mark or exclamation mark is followed by a blank and no small letter. The rest stands
at `COLUMNS`.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from sharegpt4v.corpora.lexicon import CLASSES, class_of
from sharegpt4v.corpora.near_duplicates import Hashes, hashes_of_runs, near_duplicates, sketches

# How each column is written. Averages are per caption; the classes of words are in % of the words.
FORMATS = {
    "captions": ".0f",
    "average_characters": ".1f",
    "average_words": ".1f",
    "average_sentences": ".2f",
    "vocabulary": ".0f",  # different words
    **dict.fromkeys(CLASSES, ".2f"),
    "repeated_4grams": ".2f",  # % of the runs of four words that were in the same caption before
    "looping": ".2f",  # % of the captions in which the same eight words in a row come twice
    "near_duplicates": ".2f",  # % of the captions that nearly are another caption of the set
}
COLUMNS = tuple(FORMATS)

WORD = re.compile(r"\w+(?:['-]\w+|[.,]\d+)*")
SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*\s+(?![a-z\s])")
REPEATED, LOOP = 4, 8
BATCH = 8192
"""Captions that are counted at a time; there are fewer than 2 ** 16."""


@dataclass
class Counts:
    """What was counted in the captions of one source; counts of two parts add up."""

    captions: int = 0
    characters: int = 0
    sentences: int = 0
    words: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    repeated_runs: int = 0
    looping: int = 0
    near_duplicates: int = 0
    sketches: list[NDArray[np.uint32]] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Add what was counted in other captions."""
        self.captions += other.captions
        self.characters += other.characters
        self.sentences += other.sentences
        self.words.update(other.words)
        self.runs += other.runs
        self.repeated_runs += other.repeated_runs
        self.looping += other.looping
        self.near_duplicates += other.near_duplicates
        self.sketches += other.sketches

    def cells(self) -> list[str]:
        """Return the numbers in the order of `COLUMNS`, as a table shows them."""
        numbers = self.numbers()
        return [f"{numbers[column]:{form}}" for column, form in FORMATS.items()]

    def numbers(self) -> dict[str, float]:
        """Return the numbers by `COLUMNS`."""
        words = self.words.total()
        classes: Counter[str] = Counter()
        for word, count in self.words.items():
            classes[class_of(word)] += count
        return {
            "captions": self.captions,
            "average_characters": self.characters / self.captions,
            "average_words": words / self.captions,
            "average_sentences": self.sentences / self.captions,
            "vocabulary": len(self.words),
            **{name: _percent(classes[name], words) for name in CLASSES},
            "repeated_4grams": _percent(self.repeated_runs, self.runs),
            "looping": _percent(self.looping, self.captions),
            "near_duplicates": _percent(self.near_duplicates, self.captions),
        }


def count_captions(captions: Iterable[tuple[str, str]], processes: int = 1) -> dict[str, Counts]:
    """Count captions, each given as source and text; return the counts by source, sorted.

    They are read as a stream, and counted by as many processes; the result does not depend on how many.
    """
    total: dict[str, Counts] = {}
    for part in _counted(iter(captions), processes):
        for source, counts in part.items():
            total.setdefault(source, Counts()).add(counts)
    _find_near_duplicates(list(total.values()))
    return dict(sorted(total.items()))


def _counted(captions: Iterator[tuple[str, str]], processes: int) -> Iterator[dict[str, Counts]]:
    """Yield the counts of batch after batch, in order."""
    batches = iter(lambda: list(islice(captions, BATCH)), [])
    head = list(islice(batches, 2))
    if processes == 1 or len(head) < 2:
        yield from map(count_batch, head)
        yield from map(count_batch, batches)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[dict[str, Counts]]] = deque(pool.submit(count_batch, batch) for batch in head)
        for batch in batches:
            waiting.append(pool.submit(count_batch, batch))
            if len(waiting) > 2 * processes:  # no more than these are in memory
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def count_batch(batch: Sequence[tuple[str, str]]) -> dict[str, Counts]:
    """Return the counts of a batch by source."""
    texts: dict[str, list[str]] = {}
    for source, text in batch:
        texts.setdefault(source, []).append(text.strip())
    return {source: count_texts(those) for source, those in texts.items()}


def count_texts(texts: Sequence[str]) -> Counts:
    """Return the counts of up to 65,536 captions, all but their near-duplicates."""
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__  # a new word gets the next number
    found, lengths = array("I"), []
    for text in texts:
        of_text = words_of(text)
        found.extend(map(numbers.__getitem__, of_text))
        lengths.append(len(of_text))
    numbered = np.frombuffer(found, dtype=np.uint32)
    frequencies = np.bincount(numbered, minlength=len(numbers)).tolist()
    words = np.array([_hash(word) for word in numbers], dtype=np.uint64)[numbered]
    captions = np.repeat(np.arange(len(texts)), lengths)
    repeated = _repetitions(words, captions, REPEATED)
    return Counts(
        captions=len(texts),
        characters=sum(map(len, texts)),
        sentences=sum(1 + len(SENTENCE_END.findall(text)) for text in texts if text),
        words=Counter(dict(zip(numbers, frequencies, strict=True))),
        runs=sum(max(0, length - REPEATED + 1) for length in lengths),
        repeated_runs=len(repeated),
        looping=len(np.unique(_repetitions(words, captions, LOOP))),
        sketches=[sketches(words, captions)],
    )


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return WORD.findall(text.replace("’", "'").lower())


def _repetitions(words: Hashes, captions: NDArray[np.int64], length: int) -> NDArray[np.uint64]:
    """Return the caption of each run of `length` words that is there for the second time or more."""
    whole = slice(None, max(0, len(words) - length + 1))
    runs = hashes_of_runs(words, captions, length)[whole]
    inside = captions[whole] == captions[length - 1 :]
    # The caption in the upper 16 bits, the run's hash in the lower 48: the same run of the same caption is one number.
    marked: Hashes = np.sort((captions[whole].astype(np.uint64) << np.uint64(48) | runs >> np.uint64(16))[inside])
    again: Hashes = marked[1:][marked[1:] == marked[:-1]]
    return again >> np.uint64(48)


@lru_cache(maxsize=1 << 17)
def _hash(word: str) -> int:
    """A hash that is the same in every process."""
    return int.from_bytes(hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def _find_near_duplicates(parts: Sequence[Counts]) -> None:
    """Fill in how many captions of each source nearly are another caption of any source."""
    made = [np.concatenate(part.sketches) for part in parts]
    if not made:
        return
    near = near_duplicates(np.concatenate(made))
    ends = np.cumsum([len(part) for part in made])
    for part, of_part in zip(parts, np.split(near, ends[:-1]), strict=True):
        part.near_duplicates, part.sketches = int(of_part.sum()), []


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
