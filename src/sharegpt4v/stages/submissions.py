"""Make the files that the evaluation servers take from the answers of a model of the config.

Example:  s4v stage submissions sharegpt4v-7b
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, model: str) -> None:
    """Write results/submissions/MODEL/, without benchmarks that were not answered for want of their files."""
    from sharegpt4v.catalogues.benchmarks import benchmark_named
    from sharegpt4v.evaluation.submitting import submission_file
    from sharegpt4v.evaluation.tasks import tasks_in

    answers, out = layout.ANSWERS / model, layout.SUBMISSIONS / model
    names = config.benchmarks.submissions
    for task in tasks_in(config, names, answers, out, lambda name: benchmark_named(name).submission):
        submission_file(*task, without_missing=True)
