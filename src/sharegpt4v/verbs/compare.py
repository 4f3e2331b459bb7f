"""Compare two sets of answers to the same questions: equal texts, and the paired difference of the scores.

The standard error of a difference is over the questions, each answered by both: two engines, precisions or models are
told apart by far fewer questions than their scores alone would need. `better` and `worse` count the questions that B
answers better or worse than A, from wrong to right and from right to wrong (of MME, images with their two questions).

Examples:  s4v compare results/answers/llava-7b results/answers/sharegpt4v-7b
           s4v compare local/gqa.jsonl vllm/gqa.jsonl --out gqa-by-engine.json
           s4v compare bfloat16.jsonl float8.jsonl --benchmark textvqa
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_benchmark_data, add_config, config_of, notice_around


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "a", type=Path, metavar="A", help="an answer file, or a folder of them as s4v answer all writes it"
    )
    parser.add_argument(
        "b", type=Path, metavar="B", help="the same of other answers; of folders, every benchmark that both have"
    )
    parser.add_argument(
        "--benchmark", metavar="NAME", help="the benchmark of the files (default: by their name); of folders, only this"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the same as JSON, with the provenance of the answers")
    add_benchmark_data(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Compare, and print a table."""
    from dataclasses import asdict

    from sharegpt4v.errors import UserError
    from sharegpt4v.evaluation.comparing import compare_all, pairs_in, text_of
    from sharegpt4v.evaluation.tasks import limits_of
    from sharegpt4v.files import write_json

    config, pairs = config_of(options), pairs_in(options.a, options.b, options.benchmark)
    if options.data and len(pairs) > 1:
        raise UserError("--data: of one benchmark; name it by --benchmark, or leave --data to the config")
    tasks = [(entry, options.data or layout.benchmark_folder(config, entry.name), a, b) for entry, a, b in pairs]
    found = compare_all(tasks, limits_of(config), config.benchmarks.raw_answers)
    if notice := notice_around(options.a):
        print(notice)
    print(text_of(found))
    if options.out:
        benchmarks = [asdict(one) for one in found]
        write_json(options.out, {"a": str(options.a), "b": str(options.b), "benchmarks": benchmarks})
