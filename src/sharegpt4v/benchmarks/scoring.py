"""From an answer file to a score file: `results/scores/<model>/<benchmark>.json`.

Standard errors are of sampling questions, in the unit of the column: binomial where an item is right or wrong
(MMBench over its questions, not rows), sample standard deviation where an item has a soft score, and for MME over
images. Each benchmark's module states its own.
"""

from __future__ import annotations

from pathlib import Path

from sharegpt4v.benchmarks.catalogue import benchmark_named
from sharegpt4v.benchmarks.judged import provenance_of
from sharegpt4v.benchmarks.reading import json_lines
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, sha256_of, write_json


def score_file(
    benchmark: str, data: Path, answers_file: Path, out_json: Path, replies_file: Path | None = None
) -> None:
    """Score the answers of one benchmark and write the result.

    `replies_file` holds the judge's replies to the answers, for a benchmark that a judge grades; `parts` then says
    under `judge` how they came about.

    The file holds `benchmark`, `split`, `scoring`, `answers_sha256`, and the fields of `Score`: `columns`, `n`,
    `stderr`, `parts`, `items`. Raises `UserError`, naming the answer file, for answers that cannot be scored.
    """
    entry = benchmark_named(benchmark)
    answers = [row.values for row in json_lines(answers_file)]
    if (entry.scoring == "judge") != (replies_file is not None):
        wanted = "expected no judge's replies" if replies_file else "expected --judge-replies, which s4v judge writes"
        raise UserError(f"{benchmark}: its scoring is '{entry.scoring}'; {wanted}")
    try:
        if replies_file is None:
            score = entry.load().score(data, answers)
        else:
            score = entry.load_judged().score(data, answers, read_json(replies_file))
            score.parts["judge"] = provenance_of(replies_file, answers_file)
    except UserError as error:
        raise UserError(f"{answers_file}: {error}") from None
    write_json(
        out_json,
        {
            "benchmark": benchmark,
            "split": entry.split,
            "scoring": entry.scoring,
            "answers_sha256": sha256_of(answers_file),
            "columns": score.columns,
            "n": score.n,
            "stderr": score.stderr,
            "parts": score.parts,
            "items": score.items,
        },
    )
