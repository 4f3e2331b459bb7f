"""Score the answers of a model of the config by each benchmark's official rule, with standard errors.

Example:  s4v stage scores sharegpt4v-7b
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.evaluation.tasks import Task


def run(config: Config, model: str) -> None:
    """Write results/scores/MODEL/; a benchmark whose files are not at hand is reported and gets an empty file."""
    from sharegpt4v.evaluation.tasks import tasks_in

    asked = lineage.benchmarks_of(config, model)
    scored = [name for name in config.benchmarks.scored if name in asked]
    tasks = tasks_in(config, scored, layout.ANSWERS / model, layout.SCORES / model)
    score_tasks(config, with_replies(config, tasks, layout.JUDGED / model), without_missing=True)


def with_replies(config: Config, tasks: Iterable[Task], replies: Path) -> Iterator[tuple[Task, Path | None]]:
    """Yield each task with the judge's replies to its answers in the folder `replies`, None where no judge grades."""
    for task in tasks:
        yield task, replies / f"{task.benchmark}.json" if task.benchmark in config.benchmarks.judged else None


def score_tasks(
    config: Config, tasks: Iterable[tuple[Task, Path | None]], without_missing: bool, raw_answers: bool = False
) -> None:
    """Score the answers of each task, with the judge's replies where there are; print the columns."""
    from sharegpt4v.evaluation.reading import json_object
    from sharegpt4v.evaluation.scoring import score_file
    from sharegpt4v.evaluation.table import cells_of
    from sharegpt4v.evaluation.tasks import limits_of

    raw, limits = raw_answers or config.benchmarks.raw_answers, limits_of(config)
    for task, replies in tasks:
        score_file(*task, replies, without_missing=without_missing, limits=limits, raw=raw)
        for column, cell in cells_of([json_object(task.out)]).items():
            print(f"{column} {cell}")
