"""What is said of captions: counts that can be checked by hand, and equal to those of the plainest computation."""

from __future__ import annotations

import csv
import runpy
from itertools import islice
from pathlib import Path

import pytest

from conftest import PROJECT
from sharegpt4v.corpora import captions
from sharegpt4v.corpora.captions import COLUMNS, count_captions, words_of
from sharegpt4v.corpora.lexicon import CLASSES, class_of
from sharegpt4v.corpora.statistics import DatasetSource, datasets
from sharegpt4v.files import write_json
from sharegpt4v.report.dataset_figures import captions_figure

PAPER = PROJECT / "config" / "paper" / "datasets.csv"


def numbers_of(*texts: str) -> dict[str, float]:
    """What is counted in captions of one source."""
    return count_captions(("coco", text) for text in texts)["coco"].numbers()


def test_words_are_runs_of_letters_and_digits_with_what_joins_them() -> None:
    text = "A well-lit café’s door; 3.5 m by 1,000 cm.  \n\nThe dogs' bowl (No. 7) isn't “full”…"
    assert words_of(text) == [
        "a", "well-lit", "café's", "door", "3.5", "m", "by", "1,000", "cm", "the", "dogs", "bowl", "no", "7", "isn't",
        "full",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("a cat", 1),
        ("A cat. ", 1),
        ("A cat sits. It sleeps!", 2),
        ("Is it “a cat?” Yes... It is 3.5 m long, e.g. as this one.\n\nThe end", 4),
        ("", 0),
    ],
)
def test_sentences_end_with_a_stop_before_a_capital(text: str, sentences: int) -> None:
    assert numbers_of(text)["average_sentences"] == sentences


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("noun", "dog dogs man's background building paris light zorbulite"),
        ("adjective", "red wooden large open beautiful zorbulous"),
        ("adverb", "slowly very zorbulously"),
        ("verb", "is are stands sitting appears wearing would"),
        ("numeral", "two seven 3 3.5 1920s"),
        ("preposition", "of in with under behind to on"),
        ("other", "the a and it they which that while"),
    ],
)
def test_a_word_is_of_its_commonest_kind(name: str, words: str) -> None:
    assert {word: class_of(word) for word in words.split()} == dict.fromkeys(words.split(), name)


def test_every_number_of_a_few_captions() -> None:
    numbers = numbers_of("A red dog. It sits.", "two dogs in the park", "two dogs in the park two dogs in the park")
    assert numbers == {
        "captions": 3,
        "average_characters": (19 + 20 + 41) / 3,
        "average_words": 20 / 3,
        "average_sentences": 4 / 3,
        "vocabulary": 10,
        "noun": 100 * 7 / 20,
        "adjective": 100 * 1 / 20,
        "adverb": 0,
        "verb": 100 * 1 / 20,
        "numeral": 100 * 3 / 20,
        "preposition": 100 * 3 / 20,
        "other": 100 * 5 / 20,
        "repeated_4grams": 100 * 2 / (2 + 2 + 7),
        "looping": 0,
        "near_duplicates": 0,
    }


def test_a_loop_is_eight_words_twice() -> None:
    eight = "one two three four five six seven eight"
    assert numbers_of(f"{eight} nine {eight}", f"{eight} nine ten", f"{eight} {eight} {eight}")["looping"] == 200 / 3


def test_captions_without_words_are_counted() -> None:
    numbers = numbers_of("", "...", " ")
    assert (numbers["captions"], numbers["average_words"], numbers["near_duplicates"]) == (3, 0, 0)
    assert count_captions([]) == {}


def test_near_duplicates_are_found_in_other_sources_too() -> None:
    first, other = (" ".join(f"{word}{number}" for number in range(80)) for word in ("red", "blue"))
    changed = first.replace("red40", "green")
    found = count_captions([("coco", first), ("sam", changed), ("sam", other), ("llava", "A cat."), ("llava", "a cat")])
    assert {source: counts.near_duplicates for source, counts in found.items()} == {"coco": 1, "sam": 1, "llava": 2}


def test_counts_are_those_of_the_plainest_computation_however_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = runpy.run_path(str(PROJECT / "benchmarks" / "caption_statistics.py"))
    sample = list(islice(benchmark["generated"](60), 1100))[500:]
    monkeypatch.setattr(captions, "BATCH", 128)
    one, two = count_captions(sample, processes=1), count_captions(sample, processes=2)
    assert one == two
    numbers = {source: counts.numbers() for source, counts in one.items()}
    near = {source: those.pop("near_duplicates") for source, those in numbers.items()}
    assert near == benchmark["nearly_the_same"](sample) and any(near.values())
    assert numbers == benchmark["plainly"](sample) and any(those["looping"] for those in numbers.values())


def test_a_table_for_each_set_and_its_figure(tmp_path: Path) -> None:
    rows = [
        {"image": f"{source}/{number}.jpg", "conversations": [{"from": "gpt", "value": text}]}
        for number, (source, text) in enumerate([("sam", "A red dog."), ("coco", "Two dogs."), ("sam", "It sits.")])
    ]
    write_json(tmp_path / "seed.json", rows)
    out = tmp_path / "results" / "datasets.csv"
    seed = DatasetSource("ShareGPT4V", "COCO", True, "me", tmp_path / "seed.json", "llava", "seed")
    short = DatasetSource("BLIP-LCS", "LCS", True, "BLIP", tmp_path / "seed.json", "llava", "short", "llava")
    datasets([seed, short], PAPER, out)
    with open(tmp_path / "results" / "captions" / "seed.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["source", *COLUMNS, "paper_average_characters"]
    assert [(row["source"], row["captions"], row["paper_average_characters"]) for row in table] == [
        ("coco", "1", ""), ("sam", "2", ""), ("all", "3", "942"),
    ]  # fmt: skip
    assert sum(float(table[-1][name]) for name in CLASSES) == pytest.approx(100, abs=0.05)
    assert "\nllava,3,9.0," in (tmp_path / "results" / "captions" / "short.csv").read_text()
    with open(out, newline="") as file:
        compared = list(csv.DictReader(file))
    assert [compared[0][name] for name in ("samples", "average_words", "vocabulary")] == ["3", "2.3", "7"]

    figure = tmp_path / "seed.svg"
    captions_figure(tmp_path / "results" / "captions" / "seed.csv", [figure])
    first = figure.read_bytes()
    captions_figure(tmp_path / "results" / "captions" / "seed.csv", [figure])
    assert figure.read_bytes() == first and first.startswith(b"<?xml")
