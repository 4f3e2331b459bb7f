"""Score the answers of a model by each benchmark's official rule, with standard errors.

Examples:  s4v score all --answers results/answers/sharegpt4v-7b --json results/scores/sharegpt4v-7b
           s4v score mme --data data/eval/MME --answers answers.jsonl --json mme.json
           s4v score mm-vet --answers answers.jsonl --judge-replies replies.json --json mm-vet.json
          s4v score vqav2 --answers answers.jsonl --raw-answers --json vqav2.json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.verbs.options import (
    add_answers,
    add_benchmark_data,
    add_config,
    add_outcome,
    config_of,
    limits_of,
    tasks_of,
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("benchmark", help="the name of a benchmark such as mme, or 'all' for those of the config")
    add_answers(parser)
    add_outcome(parser, "--json", "the score file")
    parser.add_argument(
        "--judge-replies", type=Path, metavar="FILE",
        help="what s4v judge wrote, for a benchmark that a judge grades; with 'all', the folder of them "
        "(default: the folder in results/judged/ that is named as the folder of answers)",
    )  # fmt: skip
    parser.add_argument(
        "--raw-answers", action="store_true",
        help="of VQA-v2 and VizWiz, score the answers as they are, not as LLaVA's submission scripts normalise them "
        "(default: benchmarks.raw_answers of the config)",
    )  # fmt: skip
    add_benchmark_data(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Score one benchmark, or all; print the columns."""
    from sharegpt4v.evaluation.reading import json_object
    from sharegpt4v.evaluation.scoring import score_file
    from sharegpt4v.evaluation.table import cells_of

    config = config_of(options)
    raw, limits = options.raw_answers or config.benchmarks.raw_answers, limits_of(config)
    every = options.benchmark == "all"
    judged = layout.JUDGED / options.answers.name
    for task in tasks_of(options, config, config.benchmarks.scored, options.json, "{}.json".format):
        replies = options.judge_replies
        if every:
            graded = task.benchmark in config.benchmarks.judged
            replies = (replies or judged) / f"{task.benchmark}.json" if graded else None
        score_file(*task, replies, without_missing=every, limits=limits, raw=raw)
        for column, cell in cells_of([json_object(task.out)]).items():
            print(f"{column} {cell}")
