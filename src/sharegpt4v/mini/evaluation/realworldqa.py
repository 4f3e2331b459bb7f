"""RealWorldQA in the synthetic world: what scenes and boards show, with the options in columns."""

from __future__ import annotations

from collections.abc import Iterator

from sharegpt4v.evaluation.benchmarks.realworldqa import TSV
from sharegpt4v.mini.evaluation.ai2d import choice_file
from sharegpt4v.mini.packing import Member

ASPECTS = ("scene", "colour", "word", "position")


def files(questions: int, seed: int, pixels: int) -> Iterator[Member]:
    """Yield the one file, with `questions` questions, each on a picture of its own."""
    yield choice_file(TSV, "realworldqa", ASPECTS, questions, seed, pixels)
