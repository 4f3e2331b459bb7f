"""The page of `claim.py`: what was run, what was expected and found, and the tables, all from the runs' own numbers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from claim_runs import (
    Gain,
    Pair,
    Run,
    best_of,
    by_size,
    controls_of,
    gains_of,
    means_of,
    pairs_of,
    rivals_by_size,
    whole_recipe,
    wins_of,
)

from sharegpt4v.config import Config
from sharegpt4v.evaluation.base import mean
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.ledger import key_of
from sharegpt4v.miniature import begins_with_notice
from sharegpt4v.progress import duration

CLAIMED = ("MMBench", "MME-perception", "SEED-image", "SQA-image", "VQA-v2", "GQA")
"""The columns in which either substitution is expected to gain."""

PRETRAINING_GAINS = 6
"""On how many columns caption pre-training is expected to gain, at least."""

BEST = 9
"""In how many columns a model with better captions in both stages is expected to be the best of its size."""

LOWEST = 5.0
"""Below this no column of the best model is expected to be."""

KINDS = {"substitution": "Equal substitution", "pretraining": "Caption pre-training"}


@dataclass(frozen=True)
class Measured:
    """The finished runs, the seeds that are not, the preset, and whether Snakemake has `checked` the runs."""

    runs: Sequence[Run]
    unfinished: Sequence[int]
    preset: Path
    checked: bool


def claim_page(config: Config, measured: Measured, figure: str) -> str:
    """Return the page in Markdown; `figure` is the file name of the figure beside it."""
    runs = measured.runs
    gains = {pair: gains_of(pair, runs) for pair in pairs_of(config)}
    parts = ["# What better captions gain in the miniature", "", *_what_was_run(config, measured)]
    parts += ["", "## What was expected, and what was found", "", *_expected(config, runs, gains)]
    parts += ["", f"![Mean gains of each pair with two standard errors, column by column]({figure})"]
    parts += ["", "## Gains", "", *_note(runs)]
    for pair, found in gains.items():
        parts += ["", f"### {KINDS[pair.kind]}: `{pair.before}` → `{pair.after}`", "", *_pair_table(found, runs)]
    parts += ["", "## Gains at each seed", "", *_seed_table(gains, runs)]
    parts += ["", "## Mean scores of all models", "", *_score_tables(config, runs)]
    parts += ["", "## Time", "", *_times(runs)]
    return begins_with_notice(config, "\n".join([*parts, ""]))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown, numbers at the right of all columns but the first."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _what_was_run(config: Config, measured: Measured) -> list[str]:
    runs = measured.runs
    seeds, commits = [run.seed for run in runs], sorted({commit for run in runs for commit in run.commits})
    settings = config.model_dump(mode="json", exclude={"seed"})
    named = ", ".join(f"`{one[:10]}`" + (" with uncommitted changes" if one.endswith("+") else "") for one in commits)
    checked = "Snakemake found them up to date with this code and config" if measured.checked else "as they were found"
    rows = [
        ("Seeds", f"{_listed(seeds)}: {len(seeds)} of {len(seeds) + len(measured.unfinished)} are finished, {checked}"),
        *([("Unfinished seeds", _listed(measured.unfinished))] if measured.unfinished else []),
        ("Config", f"`{measured.preset.name}`, hash `{key_of(settings)[:12]}` of every key but the seed"),
        ("Commit", named or "not recorded"),
        ("Machine", f"{os.cpu_count()} cores, {_processor()}"),
        ("Date", time.strftime("%Y-%m-%d")),
        ("Time per seed", f"{duration(mean([run.seconds for run in runs]))} on average, see [Time](#time)"),
    ]
    return ["| What was run | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)]


def _processor() -> str:
    """The name of the processor where the system tells it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text("utf-8", "replace").splitlines() if about.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0].replace("|", "/") if names else "processor not known"


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _expected(config: Config, runs: Sequence[Run], gains: dict[Pair, list[Gain]]) -> list[str]:
    """A row per expectation: what the numbers say, and whether that is it."""
    rows = [row for pair, found in gains.items() for row in _expected_of_pair(pair, found)]
    means = means_of(runs)
    for model, peers in whole_recipe(config).items():
        wins = wins_of(means, model, peers)
        text = f"`{model}` is the best of its size in `make table` in at least {BEST} columns"
        rows.append((text, str(wins), len(wins.alone) >= BEST))
    scored = {column: [row[column] for row in means.values() if column in row] for column in COLUMNS}
    best = {column: max(values) for column, values in scored.items() if values}
    low = [f"{column} {value:.1f}" for column, value in best.items() if value < LOWEST]
    found = f"{len(low)} of {len(best)}" + (f": {', '.join(low)}" if low else "")
    rows.append((f"No column's best score is below {LOWEST:.0f}", found, not low))
    return table(
        ["Expected", "Found", "Holds"], [(text, found, "yes" if holds else "no") for text, found, holds in rows]
    )


def _expected_of_pair(pair: Pair, gains: Sequence[Gain]) -> list[tuple[str, str, bool]]:
    name, larger = f"`{pair.before}` → `{pair.after}`", {gain.column for gain in gains if gain.larger}
    if pair.kind == "pretraining":
        above = sum(gain.mean > 0 for gain in gains)
        text = f"{name}: mean gains on at least {PRETRAINING_GAINS} columns"
        counts = ((text, above), (f"{text}, each larger than two standard errors", len(larger)))
        return [(text, f"{count} of {len(gains)}", count >= PRETRAINING_GAINS) for text, count in counts]
    missed = [column for column in CLAIMED if column not in larger]
    found = f"{len(CLAIMED) - len(missed)} of {len(CLAIMED)}" + (f"; not {', '.join(missed)}" if missed else "")
    return [(f"{name}: {', '.join(CLAIMED)} gain more than two standard errors", found, not missed)]


def _note(runs: Sequence[Run]) -> list[str]:
    text = (
        "Before and after are means over the seeds. A gain is after less before at the same seed; its two standard "
        "errors are over the seeds. “Larger” says whether the mean gain is larger than them."
    )
    return [text] if len(runs) > 1 else [text, "", "One seed has no standard error: nothing can be said to be larger."]


def _pair_table(gains: Sequence[Gain], runs: Sequence[Run]) -> list[str]:
    if not gains:
        return ["No column has a score of both."]
    rows = [
        (gain.column, f"{gain.before:.1f} → {gain.after:.1f}", f"{gain.mean:+.1f}",
         "–" if gain.two_errors is None else f"{gain.two_errors:.1f}",
         "–" if gain.two_errors is None else "yes" if gain.larger else "no", f"{gain.gained} of {len(gain.gains)}")
        for gain in gains
    ]  # fmt: skip
    smaller = [gain.column for gain in gains if gain.two_errors is not None and -gain.mean > gain.two_errors]
    larger = [gain.column for gain in gains if gain.larger]
    words = [
        f"Larger than two standard errors in {len(larger)} of {len(gains)} columns: {', '.join(larger) or 'none'}."
    ]
    words += [f"Lower by more than that: {', '.join(smaller) or 'none'}."]
    head = ["Column", "Before → after", "Mean gain", "Two standard errors", "Larger", "Seeds that gained"]
    return [*table(head, rows), "", " ".join(words)] if len(runs) > 1 else table(head, rows)


def _seed_table(gains: dict[Pair, list[Gain]], runs: Sequence[Run]) -> list[str]:
    rows = [
        (
            f"`{pair.after}`",
            gain.column,
            *(f"{gain.gains[run.seed]:+.1f}" if run.seed in gain.gains else "" for run in runs),
        )
        for pair, found in gains.items()
        for gain in found
    ]
    return table(["Pair that ends in", "Column", *(f"Seed {run.seed}" for run in runs)], rows)


def _score_tables(config: Config, runs: Sequence[Run]) -> list[str]:
    """Scores with the best of each size in bold, then in how many columns each whole recipe is that, seed by seed."""
    means, sizes, whole, controls = means_of(runs), by_size(config), whole_recipe(config), controls_of(config)
    rivals = rivals_by_size(config).values()
    best = {(model, column) for models in rivals for column in COLUMNS for model in best_of(means, models, column)}
    rows = []
    for column in COLUMNS:
        values = {model: means.get(model, {}).get(column) for models in sizes.values() for model in models}
        cells = [
            "" if value is None else f"**{value:.1f}**" if (model, column) in best else f"{value:.1f}"
            for model, value in values.items()
        ]
        rows.append((column, *cells))
    names = [f"`{model}`" for models in sizes.values() for model in models]
    lines = [f"The best of its size is bold{_beside(controls)}.", "", *table(["Column", *names], rows)]
    if whole:
        lines += ["", "In how many columns a model is the best of its size:", ""]
        counts = [(f"Seed {run.seed}", *(str(wins_of(run.scores, *one)) for one in whole.items())) for run in runs]
        counts.append(("Of the means", *(str(wins_of(means, *one)) for one in whole.items())))
        if controls:
            every = {model: next(models for models in sizes.values() if model in models) for model in whole}
            counts.append(("Of the means, with these too", *(str(wins_of(means, *one)) for one in every.items())))
        lines += table(["", *(f"`{model}`" for model in whole)], counts)
    return lines


def _beside(controls: Sequence[str]) -> str:
    """What is said of models that show what pre-training adds, and are no rows of `make table`."""
    named = ", ".join(f"`{model}`" for model in controls)
    return f"; not in `make table`, so counted only where it is said: {named}" if controls else ""


def _times(runs: Sequence[Run]) -> list[str]:
    """Seconds per seed, and per stage as the mean over the seeds."""
    note = (
        "A seed takes as long as at least one of its jobs runs. The seconds of a stage are those of all its jobs "
        "together, also where they run side by side."
    )
    seeds = [(str(run.seed), f"{run.seconds:,.0f}", f"{sum(run.stages.values()):,.0f}") for run in runs]
    stages = dict.fromkeys(stage for run in runs for stage in run.stages)
    means = {stage: mean([run.stages.get(stage, 0.0) for run in runs]) for stage in stages}
    longest = sorted(means.items(), key=lambda one: -one[1])
    rows = [(stage, f"{seconds:,.1f}") for stage, seconds in longest]
    return [note, "", *table(["Seed", "Seconds", "Seconds of all jobs"], seeds), "",
            *table(["Stage", "Mean seconds per seed"], rows)]  # fmt: skip
