"""Let a model answer benchmarks; write an official answer file for each.

Every answer is on disk the moment it exists: after a kill, the same command asks only for what is missing.

Examples:  s4v answer all --model checkpoints/sharegpt4v-7b/finetuned --name sharegpt4v-7b
           s4v answer mme --model checkpoints/sharegpt4v-7b/finetuned --data data/eval/MME --out mme.jsonl
           s4v answer all --base-url http://127.0.0.1:8000/v1 --model Qwen/Qwen2.5-VL-7B-Instruct
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_benchmark_data, add_config, add_engine, asked_by, config_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("benchmark", help="the name of a benchmark such as mme, or 'all' for those of the config")
    parser.add_argument("--model", metavar="FOLDER", help="the transformers folder, or the name of a served model")
    parser.add_argument("--name", help="what the answer rows call the model (default: the name or the folder's name)")
    add_benchmark_data(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE",
        help="the answer file to write; with 'all', a folder (default: in results/answers/NAME, BENCHMARK.jsonl)",
    )  # fmt: skip
    add_engine(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Answer one benchmark, or all with one load of the model and without those whose files are not at hand."""
    from sharegpt4v.stages.answers import answer_tasks

    config = config_of(options)
    model, generation = asked_by(options, config.benchmarks)
    served = generation.endpoint.model.rpartition("/")[2] if generation.endpoint else ""
    name = options.name or (model.resolve().name if model else served)
    every = options.benchmark == "all"
    folder = options.out if every and options.out else layout.ANSWERS / name
    tasks = [
        (
            benchmark,
            options.data or layout.benchmark_folder(config, benchmark),
            folder / f"{benchmark}.jsonl" if every or not options.out else options.out,
        )
        for benchmark in (config.benchmarks.names if every else [options.benchmark])
    ]
    answer_tasks(tasks, model, name, generation, without_missing=every)
