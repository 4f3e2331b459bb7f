"""Asking a judge about the answers to a benchmark: its replies as a file, from which `s4v score` makes the score.

Every reply is in a ledger the moment it exists, under a key of model, message, temperature and run, so that a killed
run resumes, and judging the same answers again asks nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.endpoint.client import ask
from sharegpt4v.endpoint.request import TextRequest
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.evaluation.joining import Limits
from sharegpt4v.evaluation.judged import JudgedModule
from sharegpt4v.evaluation.modules import judged_module_of
from sharegpt4v.evaluation.reading import answer_file
from sharegpt4v.evaluation.sidecar import provenance_file, provenance_of
from sharegpt4v.files import sha256_of, write_json
from sharegpt4v.ledger import Ledger, key_of

Records = list[dict[str, Any]]


def judge(
    benchmark: str,
    data: Path,
    answers_file: Path,
    out: Path,
    work: Path,
    settings: ChatSettings,
    runs: int = 1,
    without_missing: bool = False,
    limits: Limits = Limits(),  # noqa: B008, it is frozen
) -> None:
    """Ask the judge about the answers of one benchmark and write its replies to `out`, with their provenance beside it.

    `work` holds a ledger for each benchmark and model that has answered. Of `settings` temperature and length do not
    count, as each benchmark has its own. Raises `UserError` for answers that do not fit the questions or are more
    incomplete than `limits`, before anything is paid, and when a message is left without a reply; the same call again
    then asks for what is missing. But `without_missing`, a benchmark whose official files are not at hand is told
    about, and gets an empty file.
    """
    entry = benchmark_named(benchmark)
    if entry.scoring != "judge":
        raise UserError(f"{benchmark}: no judge grades it; score its answers by s4v score {benchmark}")
    module, answers = judged_module_of(entry), answer_file(answers_file)
    try:
        provenance_of(answers_file, "answers")
        limits.refuse({entry.columns[0]: module.joined(data, answers).completeness})
        messages = module.messages(data, answers)
    except MissingFile as error:
        if not without_missing:
            raise
        print(f"{benchmark}: not judged; {entry.what_to_get(error)}", file=sys.stderr)
        write_json(out, [])
        _write_provenance(out, answers_file, {"missing": str(error)})
        return
    except UserError as error:
        raise UserError(f"{answers_file}: {error}") from None
    model = key_of(answers[0].get("model_id") if answers else None)
    with Ledger(work / model / f"{benchmark}.jsonl") as ledger:
        records = _ask(benchmark, module, messages, runs, settings, ledger)
    texts = [[[_text(record) for record in run] for run in asked] for asked in records]
    flat = [record for asked in records for run in asked for record in run]
    prompt = module.judge_prompt(data)
    write_json(out, module.recorded(list(messages), texts))
    _write_provenance(
        out,
        answers_file,
        {
            "benchmark": benchmark,
            "model": settings.endpoint.model,
            "answered_by": sorted({record["answered_by"] for record in flat if record["answered_by"]}),
            "prompt_sha256": prompt.sha256,
            "official": prompt.official,
            "temperatures": [one.temperature for one in module.RULES.tries],
            "max_tokens": module.RULES.max_tokens,
            "runs": runs,
            "replies": len(flat),
        },
    )


def _write_provenance(out: Path, answers_file: Path, about: dict[str, Any]) -> None:
    hashes = {"answers_sha256": sha256_of(answers_file), "replies_sha256": sha256_of(out)}
    write_json(provenance_file(out), about | hashes)


def _ask(
    benchmark: str,
    module: JudgedModule,
    messages: Mapping[int | str, str],
    runs: int,
    settings: ChatSettings,
    ledger: Ledger,
) -> list[list[Records]]:
    """Return the records of all replies per question and run: try by try, whatever has no readable reply yet."""
    rules = module.RULES
    found: dict[tuple[int | str, int], Records] = {(name, run): [] for name in messages for run in range(runs)}
    for one in rules.tries:
        adapted = replace(settings, temperature=one.temperature, max_tokens=rules.max_tokens)
        wanted = {
            (name, run): TextRequest(str(name), messages[name] + one.closing, rules.system, run)
            for (name, run), records in found.items()
            if not records or not module.readable(_text(records[-1]))
        }
        title = f"verdicts on {benchmark}"
        unanswered = asyncio.run(ask(list(wanted.values()), adapted, ledger, title=title, noun="answers"))
        if unanswered:
            reason = next(iter(unanswered.values()))
            raise UserError(
                f"{benchmark}: {len(unanswered)} of {len(wanted)} answers have no verdict ({reason}); "
                "run the same command again, which asks for these alone"
            )
        for place, request in wanted.items():
            found[place].append(ledger[adapted.key(request)])
    return [[found[name, run] for run in range(runs)] for name in messages]


def _text(record: Mapping[str, Any]) -> str:
    """Return what the judge replied; nothing where it was not let reply."""
    return "" if record["finish_reason"] == "content_filter" else str(record["text"])
