"""Ask our questions by lmms-eval, and join what it answered to our answers.

With --out alone, FOLDER gets a task of lmms-eval for each benchmark, which asks our prompts: pass it by
`--include_path`, the tasks by `--tasks s4v`, and add `--log_samples`. No task scores anything.

With --join, lmms-eval's samples of these tasks are joined to our --answers question by question: how many texts are
equal, which differ, which are missing. Then --out gets lmms-eval's answers in our format, for `s4v score` and
`s4v compare`, and differences.csv.

Examples:  s4v bridge lmms-eval --out lmms
           s4v bridge lmms-eval --out lmms --benchmarks mme gqa
           s4v bridge lmms-eval --join lmms/logs --answers results/answers/sharegpt4v-7b --out lmms/answers
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.verbs.options import add_config, config_of

if TYPE_CHECKING:
    from sharegpt4v.bridge.lmms_eval_samples import Joined, Samples

HARNESSES = ("lmms-eval",)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("harness", choices=HARNESSES, help="the evaluation harness")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the folder of tasks, with --join of answers")
    parser.add_argument(
        "--benchmarks", nargs="+", metavar="NAME",
        help="the benchmarks to write (default: those of the config whose files are there)",
    )  # fmt: skip
    parser.add_argument(
        "--image-size", type=int, metavar="PIXELS",
        help="the side of the model's input, for benchmarks whose images are cropped to a square (default: by the "
        "config's vision tower)",
    )  # fmt: skip
    group = parser.add_argument_group("to join")
    group.add_argument(
        "--join", type=Path, metavar="SAMPLES", help="a file of samples of lmms-eval, or the folder --output_path"
    )
    group.add_argument(
        "--answers", type=Path, metavar="PATH", help="our answers: a file, or a folder of them named by the benchmarks"
    )
    group.add_argument("--name", help="what the answer rows call the model (default: the name of the folder --out)")
    add_config(parser)


def run(options: Namespace) -> None:
    """Write tasks, or join samples."""
    if options.join:
        _join(options)
    elif options.out and not options.answers and not options.name:
        _write(options)
    else:
        raise UserError("s4v bridge lmms-eval: expected --out FOLDER, or --join SAMPLES with --answers, --out or both")


def _write(options: Namespace) -> None:
    from sharegpt4v.bridge.lmms_eval_tasks import write_tasks

    config = config_of(options)
    names = options.benchmarks or config.benchmarks.names
    size = options.image_size or config.base_models.vision_tower.image_size
    benchmarks = [(name, layout.benchmark_folder(config, name)) for name in names]
    for task in write_tasks(benchmarks, options.out, size, without_missing=not options.benchmarks):
        print(task)


def _join(options: Namespace) -> None:
    from sharegpt4v.bridge.lmms_eval_samples import read_samples, text_of, write_answers, write_differences

    if options.benchmarks or options.image_size or not (options.answers or options.out):
        raise UserError("--join: expected --answers, --out or both, and neither --benchmarks nor --image-size")
    samples = read_samples(options.join)
    joined = _joined(samples, options.answers) if options.answers else []
    if options.out:
        for one in samples:
            write_answers(one, options.out / f"{one.benchmark}.jsonl", options.name or options.out.resolve().name)
        if joined:
            write_differences(joined, options.out / "differences.csv")
    if joined:
        print(text_of(joined))


def _joined(samples: list[Samples], answers: Path) -> list[Joined]:
    """Join each benchmark that both have; one that only lmms-eval answered is reported."""
    from sharegpt4v.bridge.lmms_eval_samples import join

    if not answers.is_dir():
        if len(samples) > 1:
            raise UserError(
                f"{answers}: a file, and samples of {len(samples)} benchmarks; expected a folder of answers"
            )
        return [join(samples[0], answers)]
    files = [(one, answers / f"{one.benchmark}.jsonl") for one in samples]
    for _, lacking in (pair for pair in files if not pair[1].exists()):
        print(f"{lacking.stem}: not joined; no {lacking}", file=sys.stderr)
    joined = [join(one, file) for one, file in files if file.exists()]
    if not joined:
        raise UserError(f"{answers}: no answers to the benchmarks of the samples; expected files such as mme.jsonl")
    return joined
