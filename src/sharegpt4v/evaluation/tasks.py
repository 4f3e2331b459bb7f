"""What is made of a model's answers, benchmark by benchmark: replies of a judge, scores, files for the servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sharegpt4v import layout
from sharegpt4v.evaluation.joining import Limits

if TYPE_CHECKING:
    from sharegpt4v.config import Config


class Task(NamedTuple):
    """The answers to one benchmark, the folder of its official files, and the file to write."""

    benchmark: str
    data: Path
    answers: Path
    out: Path


def tasks_in(
    config: Config, names: Iterable[str], answers: Path, out: Path, file_of: Callable[[str], str] = "{}.json".format
) -> list[Task]:
    """Return a task for each of `names`, from the folder `answers` into the folder `out`, as `file_of` names files."""
    return [
        Task(name, layout.benchmark_folder(config, name), answers / f"{name}.jsonl", out / file_of(name))
        for name in names
    ]


def limits_of(config: Config) -> Limits:
    """Return how incomplete answers and verdicts may be by the config."""
    return Limits(config.benchmarks.largest_incomplete_fraction, config.judge.largest_failed_fraction)
