"""Ask a judge, any OpenAI-compatible model, to grade the answers of a model where a benchmark wants that.

Every reply is on disk the moment it exists: after a kill, the same command asks only for what is missing.

Example:  s4v stage judgements sharegpt4v-7b
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.evaluation.tasks import Task


def run(config: Config, model: str) -> None:
    """Write results/judged/MODEL/; a benchmark whose files are not at hand is reported and gets an empty file."""
    from sharegpt4v.evaluation.tasks import tasks_in

    tasks = tasks_in(config, config.benchmarks.judged, layout.ANSWERS / model, layout.JUDGED / model)
    judge_tasks(config, tasks, without_missing=True)


def judge_tasks(config: Config, tasks: Iterable[Task], without_missing: bool) -> None:
    """Have the judge of the config, or the project's own for the miniature, grade the answers of each task."""
    from sharegpt4v.evaluation.judging import judge
    from sharegpt4v.evaluation.tasks import limits_of
    from sharegpt4v.mini.endpoint import serve
    from sharegpt4v.mini.judge import grade
    from sharegpt4v.stages.endpoints import endpoint_settings

    section = config.judge
    with serve(grade, model=section.model) if section.base_url == "mini" else nullcontext(section.base_url) as url:
        settings, work, limits = endpoint_settings(section, url), layout.WORK / "judgements", limits_of(config)
        for task in tasks:
            judge(*task, work, settings, section.runs(task.benchmark), without_missing=without_missing, limits=limits)
