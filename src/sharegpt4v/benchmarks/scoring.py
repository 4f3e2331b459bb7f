"""From an answer file to a score file: `results/scores/<model>/<benchmark>.json`.

Standard errors are of sampling questions, in the unit of the column: binomial where an item is right or wrong
(MMBench over its questions, not rows), sample standard deviation where an item has a soft score, and for MME over
images. Each benchmark's module states its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from sharegpt4v.benchmarks.base import Score
from sharegpt4v.benchmarks.beside import provenance_of
from sharegpt4v.benchmarks.catalogue import Benchmark, benchmark_named
from sharegpt4v.benchmarks.reading import json_lines
from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.files import read_json, write_json


def score_file(
    benchmark: str,
    data: Path,
    answers_file: Path,
    out_json: Path,
    replies_file: Path | None = None,
    without_missing: bool = False,
) -> None:
    """Score the answers of one benchmark and write the result.

    `replies_file` holds the judge's replies to the answers, for a benchmark that a judge grades; `parts` then says
    under `judge` how they came about.

    The file holds `benchmark`, `split`, `scoring`, `scorer`, how the answers came about, as far as that stands beside
    them, and the fields of `Score`: `columns`, `n`, `stderr`, `parts`, `items`. Raises `UserError`, naming the answer
    file (MME's may be a folder), for answers that cannot be scored; but `without_missing`, a benchmark whose official
    files are not at hand is told about, and gets a file without columns that says under `missing` what to get.
    """
    entry = benchmark_named(benchmark)
    if entry.scoring == "server":
        raise UserError(
            f"{benchmark}: the server alone has the answers; s4v submission {benchmark} makes the file for it"
        )
    if (entry.scoring == "judge") != (replies_file is not None):
        wanted = "expected no judge's replies" if replies_file else "expected --judge-replies, which s4v judge writes"
        raise UserError(f"{benchmark}: its scoring is '{entry.scoring}'; {wanted}")
    missing = {}
    try:
        score = _score(entry, data, answers_file, replies_file)
    except MissingFile as error:
        if not without_missing:
            raise
        missing = {"missing": entry.what_to_get(error)}
        print(f"{benchmark}: not scored; {missing['missing']}", file=sys.stderr)
        score = Score({}, {}, {}, {}, [])
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(str(answers_file)) else f"{answers_file}: {text}") from None
    write_json(
        out_json,
        {
            "benchmark": benchmark,
            "split": entry.split,
            "scoring": entry.scoring,
            "scorer": entry.scorer,
            **provenance_of(answers_file, "answers"),
            **missing,
            **asdict(score),
        },
    )


def _score(entry: Benchmark, data: Path, answers_file: Path, replies_file: Path | None) -> Score:
    if answers_file.is_dir():
        return _score_folder(entry, answers_file)
    answers = [row.values for row in json_lines(answers_file)]
    if not answers:
        entry.load().questions(data)  # says which file is missing, if it is for that
    if replies_file is None:
        return entry.load().score(data, answers)
    about = provenance_of(replies_file, "replies", answers_file)
    if "missing" in about:
        raise MissingFile(about["missing"])
    score = entry.load_judged().score(data, answers, read_json(replies_file))
    score.parts["judge"] = about
    return score


def _score_folder(entry: Benchmark, folder: Path) -> Score:
    score_folder: Callable[[Path], Score] | None = getattr(entry.load(), "score_folder", None)
    if score_folder is None:
        raise UserError(f"a folder; expected an answer file of {entry.name}")
    return score_folder(folder)
