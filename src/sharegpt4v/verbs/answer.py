"""Let a model answer benchmarks; write an official answer file for each.

Every answer is on disk the moment it exists: after a kill, the same command asks only for what is missing.

Example:  s4v answer all --model checkpoints/sharegpt4v-7b/finetuned --name sharegpt4v-7b
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.stage_code import code_of
from sharegpt4v.verbs.options import add_benchmark_data, add_config, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("benchmark", help="the name of a benchmark such as mme, or 'all' for those of the config")
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="the transformers folder")
    parser.add_argument("--name", help="what the answer rows call the model (default: the folder's name)")
    add_benchmark_data(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where BENCHMARK.jsonl goes (default: results/answers/NAME)"
    )
    add_config(parser)


def run(options: Namespace) -> None:
    """Answer one benchmark, or all with one load of the model."""
    from sharegpt4v.benchmarks.answering import answer

    config = config_of(options)
    name = options.name or options.model.resolve().name
    out = options.out or layout.RESULTS / "answers" / name
    tasks = [
        (benchmark, options.data or layout.benchmark_folder(config, benchmark), out / f"{benchmark}.jsonl")
        for benchmark in (config.benchmarks.names if options.benchmark == "all" else [options.benchmark])
    ]
    work = layout.work_of("answers", code_of("models.generation"))
    answer(tasks, options.model, name, work, config.benchmarks.batch_size)
