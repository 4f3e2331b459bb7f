"""From an answer file to a score file: `results/scores/<model>/<benchmark>.json`.

Standard errors are of sampling questions, in the unit of the column: binomial where an item is right or wrong
(MMBench over its questions, not rows), sample standard deviation where an item has a soft score, and for MME over
images. Each benchmark's module states its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sharegpt4v.catalogues.benchmarks import Benchmark, benchmark_named
from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.evaluation.base import Answer, Score
from sharegpt4v.evaluation.joining import Limits
from sharegpt4v.evaluation.modules import judged_module_of, module_of
from sharegpt4v.evaluation.reading import answer_file
from sharegpt4v.evaluation.sidecar import provenance_of
from sharegpt4v.files import write_json

Rule = Callable[[Path, Sequence[Answer]], Score]


def score_file(
    benchmark: str,
    data: Path,
    answers_file: Path,
    out_json: Path,
    replies_file: Path | None = None,
    without_missing: bool = False,
    limits: Limits = Limits(),  # noqa: B008, it is frozen
    raw: bool = False,
) -> None:
    """Score the answers of one benchmark and write the result.

    `replies_file` holds the judge's replies to the answers, for a benchmark that a judge grades; `parts` then says
    under `judge` their provenance. `raw` leaves out what LLaVA does to answers before it uploads them.

    The file holds `benchmark`, `split`, `scoring`, `scorer`, the answers' provenance, as far as that is beside
    them, and the fields of `Score`. Raises `UserError`, naming the answer file (MME's may be a folder), for answers
    that cannot be scored, or are more incomplete than `limits`; but `without_missing`, a benchmark whose official files
    are not at hand is reported, and gets a file without columns that says under `missing` what to get.
    """
    entry = benchmark_named(benchmark)
    if entry.scoring == "server":
        raise UserError(
            f"{benchmark}: the server alone has the answers; s4v submission {benchmark} makes the file for it"
        )
    if (entry.scoring == "judge") != (replies_file is not None):
        wanted = "expected no judge's replies" if replies_file else "expected --judge-replies, which s4v judge writes"
        raise UserError(f"{benchmark}: its scoring is '{entry.scoring}'; {wanted}")
    if not answers_file.exists():
        raise UserError(f"{answers_file}: no such file; expected an answer file there")
    about: dict[str, Any] = {}
    try:
        about = provenance_of(answers_file, "answers")
        score = score_of(entry, data, answers_file, replies_file, raw)
        limits.refuse(score.completeness)
    except MissingFile as error:
        if not without_missing:
            raise
        about["missing"] = entry.what_to_get(error)
        print(f"{benchmark}: not scored; {about['missing']}", file=sys.stderr)
        score = Score({}, {}, {}, {}, {}, [])
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(str(answers_file)) else f"{answers_file}: {text}") from None
    write_json(
        out_json,
        {
            "benchmark": benchmark,
            "split": entry.split,
            "scoring": entry.scoring,
            "scorer": score.scorer or entry.scorer,
            **about,
            **{name: value for name, value in asdict(score).items() if name != "scorer"},
        },
    )


def score_of(entry: Benchmark, data: Path, answers_file: Path, replies_file: Path | None, raw: bool) -> Score:
    """Return the score of an answer file; what is wrong with it is a `UserError`, however incomplete it may be."""
    if answers_file.is_dir():
        return _score_folder(entry, data, answers_file)
    answers = answer_file(answers_file)
    if not answers:
        module_of(entry).questions(data)  # says which file is missing, if it is for that
        raise UserError("no answers; expected one for each question")
    if replies_file is None:
        module = module_of(entry)
        rule: Rule = getattr(module, "score_raw", module.score) if raw else module.score
        return rule(data, answers)
    about, judged = provenance_of(replies_file, "replies", answers_file), judged_module_of(entry)
    score = judged.score(data, answers, judged.read_replies(replies_file))
    score.parts["judge"] = about
    return score


def _score_folder(entry: Benchmark, data: Path, folder: Path) -> Score:
    score_folder: Callable[[Path, Path], Score] | None = getattr(module_of(entry), "score_folder", None)
    if score_folder is None:
        raise UserError(f"a folder; expected an answer file of {entry.name}")
    return score_folder(data, folder)
