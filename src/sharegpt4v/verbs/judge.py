"""Ask a judge, any OpenAI-compatible model, to grade the answers of a model where a benchmark wants that.

Every reply is on disk the moment it exists: after a kill, the same command asks only for what is missing. The replies
become a score by `s4v score --judge-replies`.

Examples:  s4v judge all --answers results/answers/sharegpt4v-7b --out results/judged/sharegpt4v-7b
           s4v judge mm-vet --data data/eval/mm-vet --answers answers.jsonl --out replies.json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v.verbs.options import add_answers, add_benchmark_data, add_config, add_outcome, config_of, tasks_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("benchmark", help="llava-bench or mm-vet, or 'all' for those of the config")
    add_answers(parser)
    add_outcome(parser, "the file of replies")
    add_benchmark_data(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Have one benchmark graded, or all that a judge grades."""
    from sharegpt4v.stages.judgements import judge_tasks

    config = config_of(options)
    tasks = tasks_of(options, config, config.benchmarks.judged)
    judge_tasks(config, tasks, without_missing=options.benchmark == "all")
