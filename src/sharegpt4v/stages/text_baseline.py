"""Let the language model of a size alone answer what is asked without images, and score it (MMStar's leakage).

The model is the aligned one: in alignment only the projector learns, so that without an image it is the language model
before any multi-modal training.

Example:  s4v stage text_baseline 7b
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage

if TYPE_CHECKING:
    from sharegpt4v.config import Config


def run(config: Config, size: str) -> None:
    """Write the answers and the score of the language model `size`, a name in base_models.llm of the config."""
    from sharegpt4v.evaluation.tasks import tasks_in
    from sharegpt4v.stages.answers import answer_tasks
    from sharegpt4v.stages.scores import score_tasks

    name, benchmark = layout.base_name(size), lineage.TEXT_ONLY
    answers = layout.ANSWERS / name
    asked = [(benchmark, layout.benchmark_folder(config, benchmark), answers / f"{benchmark}.jsonl")]
    answer_tasks(asked, layout.aligned(size), name, config.benchmarks, without_missing=True)
    tasks = tasks_in(config, [benchmark], answers, layout.SCORES / name)
    score_tasks(config, ((task, None) for task in tasks), without_missing=True)
