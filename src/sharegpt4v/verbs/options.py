"""Options that many verbs have."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.evaluation.joining import Limits


def add_config(parser: ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config", type=Path, default=layout.config_here(), metavar="FILE",
        help="the config (default: .work/config.json, that of the run in this folder; else config/config.yaml)",
    )  # fmt: skip


def add_engine(parser: ArgumentParser) -> None:
    """Add the option that names the generation engine."""
    from sharegpt4v.generation.engine import DEFAULT, ENGINES

    known = f"{', '.join(ENGINES)} (default: {DEFAULT})"
    parser.add_argument("--engine", default=DEFAULT, metavar="NAME", help=f"what asks the model: {known}")


def add_path(parser: ArgumentParser, name: str, default: Path | str, what: str) -> None:
    """Add an option that is a path."""
    parser.add_argument(name, type=Path, default=Path(default), metavar="PATH", help=f"{what} (default: {default})")


def add_answers(parser: ArgumentParser) -> None:
    """Add `--answers`, what is graded or scored."""
    parser.add_argument(
        "--answers", type=Path, required=True, metavar="FILE",
        help="the answer file, or of MME the folder of the official tool's text files; with 'all', the folder of them",
    )  # fmt: skip


def add_outcome(parser: ArgumentParser, name: str, what: str) -> None:
    """Add an option for where that goes which is made of the answers."""
    parser.add_argument(name, type=Path, required=True, metavar="FILE", help=f"{what} to write; with 'all', a folder")


def add_benchmark_data(parser: ArgumentParser) -> None:
    """Add `--data`."""
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the benchmark's folder (default: by the config)")


class Task(NamedTuple):
    """What a verb makes of answers: of which benchmark, from which of its folders and answers, and where it goes."""

    benchmark: str
    data: Path
    answers: Path
    out: Path


def tasks_of(
    options: Namespace, config: Config, names: Sequence[str], out: Path, file_of: Callable[[str], str]
) -> Iterator[Task]:
    """Yield the task of the benchmark that the options name; for 'all' one of each of `names`, which go into the folder
    `out` under the name that `file_of` gives."""
    every = options.benchmark == "all"
    for name in names if every else [options.benchmark]:
        data = options.data or layout.benchmark_folder(config, name)
        answers = options.answers / f"{name}.jsonl" if every else options.answers
        yield Task(name, data, answers, out / file_of(name) if every else out)


def limits_of(config: Config) -> Limits:
    """Return how incomplete answers and verdicts may be by the config."""
    from sharegpt4v.evaluation.joining import Limits

    return Limits(config.benchmarks.largest_incomplete_fraction, config.judge.largest_failed_fraction)


def config_of(options: Namespace) -> Config:
    """Read the config that the options name; a `UserError` with one line per mistake."""
    from sharegpt4v.config import load

    return load(options.config)
