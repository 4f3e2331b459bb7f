"""Score the answers of a model by each benchmark's official rule, with standard errors.

Examples:  s4v score all --answers results/answers/sharegpt4v-7b --out results/scores/sharegpt4v-7b
           s4v score mme --data data/eval/MME --answers answers.jsonl --out mme.json
           s4v score mm-vet --answers answers.jsonl --judge-replies replies.json --out mm-vet.json
           s4v score vqav2 --answers answers.jsonl --raw-answers --out vqav2.json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.verbs.options import add_answers, add_benchmark_data, add_config, add_outcome, config_of, tasks_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("benchmark", help="the name of a benchmark such as mme, or 'all' for those of the config")
    add_answers(parser)
    add_outcome(parser, "the score file")
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
    from sharegpt4v.stages.scores import score_tasks, with_replies

    config = config_of(options)
    every, replies = options.benchmark == "all", options.judge_replies
    tasks = tasks_of(options, config, config.benchmarks.scored)
    judged = replies or layout.JUDGED / options.answers.name
    pairs = with_replies(config, tasks, judged) if every else ((task, replies) for task in tasks)
    score_tasks(config, pairs, without_missing=every, raw_answers=options.raw_answers)
