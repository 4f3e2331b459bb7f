"""Options that many verbs have."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.project import preset

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.evaluation.tasks import Task


def add_config(parser: ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config", type=preset, default=layout.config_here(), metavar="FILE",
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


def add_outcome(parser: ArgumentParser, what: str) -> None:
    """Add `--out`, what is made of the answers."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=f"{what} to write; with 'all', a folder"
    )


def add_benchmark_data(parser: ArgumentParser) -> None:
    """Add `--data`."""
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="the benchmark's folder (default: by the config)")


def tasks_of(
    options: Namespace, config: Config, names: Sequence[str], file_of: Callable[[str], str] = "{}.json".format
) -> list[Task]:
    """Return the task of the benchmark that the options name; for 'all' one of each of `names`, which go into the
    folder of `--out` as `file_of` names them."""
    from sharegpt4v.evaluation.tasks import Task, tasks_in

    every = options.benchmark == "all"
    if every and not options.data:
        return tasks_in(config, names, options.answers, options.out, file_of)
    if every:
        raise UserError(
            "--data: of one benchmark; with 'all', the config says where their folders are (benchmarks.root)"
        )
    data = options.data or layout.benchmark_folder(config, options.benchmark)
    return [Task(options.benchmark, data, options.answers, options.out)]


def config_of(options: Namespace) -> Config:
    """Read the config that the options name; a `UserError` with one line per mistake."""
    from sharegpt4v.config import load

    return load(options.config)
