"""From an answer file to the file that an evaluation server takes."""

from __future__ import annotations

import sys
from pathlib import Path

from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.modules import module_of
from sharegpt4v.evaluation.reading import answer_file
from sharegpt4v.files import write_bytes


def submission_file(
    benchmark: str, data: Path, answers_file: Path, out: Path, without_missing: bool = False, partial: bool = False
) -> None:
    """Write the file of one benchmark, whose official files are in `data`.

    A benchmark that no server takes, no answers and, unless `partial`, incomplete answers are a `UserError`; but
    `without_missing`, a benchmark without answers gets no file.
    """
    entry = benchmark_named(benchmark)
    if not entry.submission:
        raise UserError(f"{benchmark}: no evaluation server takes it; score its answers by s4v score {benchmark}")
    answers = answer_file(answers_file)
    if not answers and without_missing:
        return
    if not answers:
        raise UserError(f"{answers_file}: no answers; expected one for each question")
    try:
        made = module_of(entry).submission(data, answers)
    except UserError as error:
        raise UserError(f"{answers_file}: {error}") from None
    if made.completeness.faults:
        told = f"{answers_file}: {made.completeness.of_answers()}"
        if not partial:
            raise UserError(f"{told}; answer this benchmark again, or make the file of what there is by --partial")
        print(told, file=sys.stderr)
    write_bytes(out, made.content)
