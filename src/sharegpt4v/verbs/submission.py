"""Make the files that the evaluation servers take from the answers of a model.

Answers that are incomplete are refused; --partial makes the file of what there is.

Examples:  s4v submission all --answers results/answers/sharegpt4v-7b --out results/submissions/sharegpt4v-7b
           s4v submission mmbench --answers answers.jsonl --out mmbench_dev_20230712.xlsx
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from sharegpt4v.verbs.options import add_answers, add_benchmark_data, add_config, add_outcome, config_of, tasks_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("benchmark", help="the name of a benchmark such as mmbench, or 'all' for those of the config")
    add_answers(parser)
    add_outcome(parser, "the file")
    parser.add_argument(
        "--partial", action="store_true", help="also with answers that are missing, repeated or for unknown questions"
    )
    add_benchmark_data(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Make one file, or all but those of benchmarks that were not answered for want of their files."""
    from sharegpt4v.catalogues.benchmarks import benchmark_named
    from sharegpt4v.evaluation.submitting import submission_file

    config = config_of(options)
    names = config.benchmarks.submissions
    for task in tasks_of(options, config, names, lambda name: benchmark_named(name).submission):
        submission_file(*task, without_missing=options.benchmark == "all", partial=options.partial)
