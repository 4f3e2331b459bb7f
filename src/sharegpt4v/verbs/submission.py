"""Make the files that the evaluation servers take from the answers of a model.

Answers that are incomplete are refused; --partial makes the file of what there is.

Examples:  s4v submission all --answers results/answers/sharegpt4v-7b --out results/submissions/sharegpt4v-7b
           s4v submission mmbench --answers answers.jsonl --out mmbench_dev_20230712.xlsx
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.verbs.options import add_answers, add_benchmark_data, add_config, add_outcome, config_of, tasks_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("benchmark", help="the name of a benchmark such as mmbench, or 'all' for those of the config")
    add_answers(parser)
    add_outcome(parser, "--out", "the file")
    parser.add_argument(
        "--partial", action="store_true", help="also with answers that are missing, repeated or for unknown questions"
    )
    add_benchmark_data(parser)
    add_config(parser)


def run(options: Namespace) -> None:
    """Make one file, or all but those of benchmarks that were not answered for want of their files."""
    from sharegpt4v.catalogues.benchmarks import benchmark_named
    from sharegpt4v.errors import UserError
    from sharegpt4v.evaluation.reading import answer_file
    from sharegpt4v.files import write_bytes

    config = config_of(options)
    every = options.benchmark == "all"

    def file_of(name: str) -> str:
        return benchmark_named(name).submission

    for name, data, file, out in tasks_of(options, config, config.benchmarks.submissions, options.out, file_of):
        entry = benchmark_named(name)
        if not entry.submission:
            raise UserError(f"{name}: no evaluation server takes it; score its answers by s4v score {name}")
        answers = answer_file(file)
        if not answers:
            if every:
                continue
            raise UserError(f"{file}: no answers; expected one for each question")
        try:
            made = module_of(entry).submission(data, answers)
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
        if made.completeness.faults:
            told = f"{file}: {made.completeness.of_answers()}"
            if not options.partial:
                raise UserError(f"{told}; answer this benchmark again, or make the file of what there is by --partial")
            print(told, file=sys.stderr)
        write_bytes(out, made.content)
