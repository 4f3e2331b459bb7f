"""Let a model of the config answer all benchmarks (paper section 5.1); write an official answer file for each.

Every answer is on disk the moment it exists: after a kill, the same command asks only for what is missing.

Example:  s4v stage answers sharegpt4v-7b
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout, lineage

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.config.generation import Generation


def run(config: Config, model: str) -> None:
    """Write results/answers/MODEL/; a benchmark whose files are not at hand is reported and gets an empty file."""
    row, generation = lineage.model_named(config, model), config.benchmarks
    checkpoint: Path | None = lineage.finished(row)
    if generation.engine == "endpoint":  # which serves every row under its name
        assert generation.endpoint is not None
        endpoint = generation.endpoint.model_copy(update={"model": model})
        checkpoint, generation = None, generation.model_copy(update={"endpoint": endpoint})
    tasks = [
        (name, layout.benchmark_folder(config, name), layout.ANSWERS / model / f"{name}.jsonl")
        for name in lineage.benchmarks_of(config, model)
    ]
    answer_tasks(tasks, checkpoint, model, generation, without_missing=True)


def answer_tasks(
    tasks: Sequence[tuple[str, Path, Path]],
    model: Path | None,
    name: str,
    generation: Generation,
    without_missing: bool,
) -> None:
    """Let a model, which answer rows call `name`, answer each (benchmark, its data folder, answer file)."""
    from sharegpt4v.code_hash import code_of
    from sharegpt4v.evaluation.answering import answer
    from sharegpt4v.generation.engine import code_roots

    work = layout.work_of("answers", code_of(*code_roots(generation.engine, model)))
    answer(tasks, model, name, work, generation, without_missing=without_missing)
