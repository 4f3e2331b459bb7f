"""How long the statistics of the captions take at the paper's size, how much memory, and whether they are right.

    python benchmarks/caption_statistics.py --captions 1246901 --processes 2

generates a corpus of so many captions (deterministic; words by Zipf's law, one caption in 500 nearly an earlier one,
one in 1000 with a sentence twice), counts it, and prints the seconds and the largest memory of all processes together.
Then it counts the first 2,000 again in the plainest way, and compares: everything has to be equal but the
near-duplicates, which are an estimate, and of which both numbers are printed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations, islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil

from sharegpt4v import layout
from sharegpt4v.corpora.captions import SENTENCE_END, count_captions, words_of
from sharegpt4v.corpora.lexicon import CLASSES, class_of
from sharegpt4v.corpora.rows import caption_row, write_array
from sharegpt4v.corpora.statistics import DatasetSource, datasets

SOURCES = {"sam": 0.4575, "llava": 0.4476, "coco": 0.0949}  # of the published corpus
COMMON = ["the", "a", "of", "and", "in", "is", "to", "with", "on", "it", "are", "at", "an", "there", "that", "by", "as"]
VOCABULARY = 200_000
SAMPLE = 2000


def main() -> None:
    """Generate, measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=1_246_901)
    parser.add_argument("--words", type=int, default=200, help="per caption, on average")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.json"
        with open(path, "wb") as file:
            captions = islice(generated(options.words), options.captions)
            write_array(file, (caption_row(f"{source}/1.jpg", text, "") for source, text in captions))
        print(f"{options.captions:,} captions generated, {path.stat().st_size / 1e9:.2f} GB")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, Memory() as memory:
            start = time.monotonic()
            table, cpu = pool.submit(counted, path, options.processes).result()
            seconds = time.monotonic() - start
    print(
        f"counted by {options.processes} processes in {seconds:.1f} s ({cpu:.1f} s of CPU time, the reading included), "
        f"at most {memory.largest:.0f} MiB together\n{table}"
    )

    sample = list(islice(generated(options.words), SAMPLE))
    for word in {word for _, text in sample for word in words_of(text)}:
        class_of(word)  # looked up once, for both
    begin = time.process_time()
    ours = {source: counts.numbers() for source, counts in count_captions(sample).items()}
    middle = time.process_time()
    plain = plainly(sample)
    end = time.process_time()
    print(f"of {SAMPLE:,} captions: {middle - begin:.2f} s of CPU time, in the plainest way {end - middle:.2f} s")
    for source, near in nearly_the_same(sample).items():
        estimated = ours[source].pop("near_duplicates")
        print(f"{source}: near-duplicates {estimated:.2f} % estimated, {near:.2f} % by trying every pair")
    if ours != plain:
        sys.exit(f"found {ours}; expected {plain}")
    print("all else is equal")


def counted(path: Path, processes: int) -> tuple[str, float]:
    """Count the generated captions; return the table, and the seconds of CPU time of this process and its own."""
    row = DatasetSource("generated", "", True, "", path, "llava", "generated")
    datasets([row], layout.PROJECT / "config/paper/datasets.csv", path.with_name("datasets.csv"), processes)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    table = (path.parent / "captions/generated.csv").read_text(encoding="utf-8")
    return table, sum(one.ru_utime + one.ru_stime for one in used)


def plainly(captions: Sequence[tuple[str, str]]) -> dict[str, dict[str, float]]:
    """The same numbers as `Counts.numbers`, by source, in the plainest way; all but the near-duplicates."""
    table = {}
    for source in sorted({source for source, _ in captions}):
        texts = [text.strip() for one, text in captions if one == source]
        words = [words_of(text) for text in texts]
        every = [word for of_text in words for word in of_text]
        fours, eights = ([Counter(_runs(of_text, length)) for of_text in words] for length in (4, 8))
        classes = Counter(class_of(word) for word in every)
        table[source] = {
            "captions": len(texts),
            "average_characters": sum(len(text) for text in texts) / len(texts),
            "average_words": len(every) / len(texts),
            "average_sentences": sum(len(SENTENCE_END.split(text)) for text in texts) / len(texts),
            "vocabulary": len(set(every)),
            **{name: 100 * classes[name] / len(every) for name in CLASSES},
            "repeated_4grams": 100 * sum(c.total() - len(c) for c in fours) / sum(c.total() for c in fours),
            "looping": 100 * sum(any(times > 1 for times in c.values()) for c in eights) / len(texts),
        }
    return table


def _runs(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]


def nearly_the_same(captions: Sequence[tuple[str, str]]) -> dict[str, float]:
    """How many captions, in %, share four fifths of their runs of five words with another, by source."""
    runs = [set(_runs(words_of(text), 5)) for _, text in captions]
    found: set[int] = set()
    for (one, runs_one), (two, runs_two) in combinations(enumerate(runs), 2):
        if len(runs_one & runs_two) >= 0.8 * len(runs_one | runs_two):
            found |= {one, two}
    all_of, near = Counter(source for source, _ in captions), Counter(captions[number][0] for number in found)
    return {source: 100 * near[source] / number for source, number in sorted(all_of.items())}


def generated(average: int) -> Iterator[tuple[str, str]]:
    """Yield source and text of captions without end, of so many words on average."""
    random = np.random.default_rng(0)
    words = np.array(_vocabulary(), dtype=object)
    weights = 1 / np.arange(1, len(words) + 1) ** 1.2
    ends = np.cumsum(weights / weights.sum())
    earlier: list[list[str]] = []
    while True:
        sources = random.choice(list(SOURCES), size=1000, p=list(SOURCES.values()))
        lengths = np.maximum(20, random.normal(average, average / 4, size=1000)).astype(int)
        drawn = words[np.searchsorted(ends, random.random(lengths.sum()) * ends[-1])].tolist()
        start = 0
        for number, (source, length) in enumerate(zip(sources, lengths, strict=True)):
            said = drawn[start : start + length]
            start += length
            if number % 500 == 7 and earlier:
                said = list(earlier[number % len(earlier)])
                said[len(said) // 2] = "another"
            elif number % 1000 == 8:
                said[:10] = said[10:20]
            if number % 100 == 9 and len(earlier) < 5000:
                earlier.append(said)
            yield str(source), _text(said)


def _text(words: list[str]) -> str:
    """Sentences of about 18 words, three to a paragraph."""
    sentences = [" ".join(words[start : start + 18]) for start in range(0, len(words), 18)]
    text = ". ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences)
    return text.replace(" and ", ", and ") + "."


def _vocabulary() -> list[str]:
    """English words, the commonest first, and then made ones."""
    from textblob.en import lexicon  # here, or every process would load it

    known = [word for word in lexicon if word.isascii() and word.isalpha() and word.islower() and word not in COMMON]
    np.random.default_rng(1).shuffle(known)
    known.sort(key=lambda word: min(len(word), 6))  # the common ones are short
    made = [f"{one}{two}" for one, two in islice(zip(known, known[7:] + known, strict=False), VOCABULARY)]
    return [*COMMON, *known, *made][:VOCABULARY]


class Memory:
    """The largest memory that the processes started by this one have had together, in MiB."""

    def __enter__(self) -> Memory:
        self.largest, self.over = 0.0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.5):
            used = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    used += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.largest = max(self.largest, used / 2**20)


if __name__ == "__main__":
    main()
