"""What the runs of `claim.py` left on disk, and what it says of each pair of models: gains over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.config import Config, load
from sharegpt4v.config.models import TrainedModel
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.base import mean, sample_error
from sharegpt4v.evaluation.table import COLUMNS
from sharegpt4v.job_record import read_record
from sharegpt4v.pipeline.job_list import read_job_list
from sharegpt4v.report.tables import read_csv
from sharegpt4v.report.timings import all_timings, by_stage

Scores = Mapping[str, Mapping[str, float]]
"""By model and column, in the unit of ``results/table.csv``; a column without a score has no entry."""


@dataclass(frozen=True)
class Run:
    """A finished run: its `scores`, the commits that its jobs ran at, and what took how long.

    `seconds` is how long at least one of its jobs ran. `stages` are the seconds of all jobs of a stage together.
    """

    seed: int
    scores: Scores
    commits: Sequence[str]
    seconds: float
    stages: Mapping[str, float]


@dataclass(frozen=True)
class Pair:
    """Two models that differ in one thing; `kind` is `substitution` or `pretraining`."""

    kind: str
    before: str
    after: str


@dataclass(frozen=True)
class Gain:
    """What `after` scores more than `before` in a column: the means over the seeds that have both, and each gain.

    `two_errors` is twice the standard error of the mean gain, paired over the seeds; None for fewer than two seeds.
    """

    column: str
    before: float
    after: float
    gains: Mapping[int, float]
    two_errors: float | None

    @property
    def mean(self) -> float:
        """The mean gain."""
        return mean(list(self.gains.values()))

    @property
    def larger(self) -> bool:
        """Whether the mean gain is larger than two standard errors of it."""
        return self.two_errors is not None and self.mean > self.two_errors

    @property
    def gained(self) -> int:
        """How many seeds gained."""
        return sum(gain > 0 for gain in self.gains.values())


def read_run(folder: Path, config: Config, seed: int) -> Run:
    """Read the finished run in `folder`; a `UserError` where it is none, or was run by another config or seed."""
    rows = read_csv(folder / layout.TABLE)
    if load(folder / layout.RUN_CONFIG) != config.model_copy(update={"seed": seed}):
        raise UserError(
            f"{folder / layout.RUN_CONFIG}: another config than {config.name} at seed {seed}; run that seed again, or "
            "name its preset by --config"
        )
    scores = {row["model"]: {column: float(row[column]) for column in COLUMNS if row.get(column)} for row in rows}
    jobs = read_job_list(folder).jobs
    records = [read_record(folder / layout.JOBS, job.arguments) for job in jobs]
    ran = [(one["started"], one["started"] + one["seconds"]) for one in records if "seconds" in one]
    names = {job.name for job in jobs}
    timings = [timing for timing in all_timings(folder / layout.TIMINGS) if timing.job in names]
    stages = {name: sum(one.seconds for one in found) for name, found in by_stage(timings).items()}
    commits = {one["git_commit"] + ("+" if one["git_changed"] else "") for one in records if one.get("git_commit")}
    return Run(seed, scores, sorted(commits), covered(ran), stages)


def covered(intervals: Sequence[tuple[float, float]]) -> float:
    """Return the length of what intervals cover together."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def pairs_of(config: Config) -> list[Pair]:
    """Return the pairs of `substitution`, then each two models that differ in nothing but their pre-training."""
    pairs = [Pair("substitution", pair.before, pair.after) for pair in config.substitution]
    for after in config.models:
        pairs += [
            Pair("pretraining", before.name, after.name)
            for before in config.models
            if (before.pretraining, after.pretraining) == ("none", "captions") and _rest(before) == _rest(after)
        ]
    return pairs


def _rest(model: TrainedModel) -> dict[str, object]:
    return model.model_dump(exclude={"name", "paper", "pretraining"})


def gains_of(pair: Pair, runs: Sequence[Run]) -> list[Gain]:
    """Return the gains of a pair in every column that both have a score in, at one seed at least."""
    found = []
    for column in COLUMNS:
        scores = {run.seed: (run.scores.get(pair.before, {}), run.scores.get(pair.after, {})) for run in runs}
        both = {seed: (b[column], a[column]) for seed, (b, a) in scores.items() if column in b and column in a}
        if both:
            before, after = (mean([scores[place] for scores in both.values()]) for place in (0, 1))
            gains = {seed: later - earlier for seed, (earlier, later) in both.items()}
            error = sample_error(list(gains.values()))
            found.append(Gain(column, before, after, gains, None if error is None else 2 * error))
    return found


def means_of(runs: Sequence[Run]) -> Scores:
    """Return the mean over the seeds of every model in every column; a seed without a score does not count."""
    models = dict.fromkeys(model for run in runs for model in run.scores)
    means: dict[str, dict[str, float]] = {}
    for model in models:
        found = {column: [run.scores[model][column] for run in runs if column in run.scores.get(model, {})]
                 for column in COLUMNS}  # fmt: skip
        means[model] = {column: mean(values) for column, values in found.items() if values}
    return means


def best_of(scores: Scores, models: Sequence[str], column: str) -> list[str]:
    """Return those of `models` with the highest score in a column: several when they are equal, none without scores."""
    values = {model: scores[model][column] for model in models if column in scores.get(model, {})}
    return [model for model, value in values.items() if value == max(values.values())]


def by_size(config: Config) -> dict[str, list[str]]:
    """Return the models of each size."""
    sizes: dict[str, list[str]] = {}
    for model in config.models:
        sizes.setdefault(model.size or "", []).append(model.name)
    return sizes


def controls_of(config: Config) -> list[str]:
    """Return the models that are there to show what pre-training adds to another; `make table` has none of them."""
    return [pair.before for pair in pairs_of(config) if pair.kind == "pretraining"]


def rivals_by_size(config: Config) -> dict[str, list[str]]:
    """Return the models of each size but the controls."""
    controls = controls_of(config)
    return {size: [one for one in models if one not in controls] for size, models in by_size(config).items()}


def whole_recipe(config: Config) -> dict[str, list[str]]:
    """Return the models that have better captions in both stages, each with all models of its size but the controls."""
    sizes = rivals_by_size(config)
    return {
        model.name: sizes[model.size or ""]
        for model in config.models
        if model.pretraining == "captions" and model.substitution == "all" and len(sizes[model.size or ""]) > 1
    }


@dataclass(frozen=True)
class Wins:
    """In which of `columns` a model is alone the best of its size, and in which it shares that."""

    alone: Sequence[str]
    shared: Sequence[str]
    columns: Sequence[str]

    def __str__(self) -> str:
        shared = f" (and {len(self.shared)} shared)" if self.shared else ""
        return f"{len(self.alone)} of {len(self.columns)}{shared}"


def wins_of(scores: Scores, model: str, peers: Sequence[str]) -> Wins:
    """Count the columns that a model wins against all of its size; those count that every one of these has."""
    columns = [column for column in COLUMNS if all(column in scores.get(peer, {}) for peer in peers)]
    best = {column: best_of(scores, peers, column) for column in columns}
    alone = [column for column in columns if best[column] == [model]]
    return Wins(alone, [column for column in columns if model in best[column] and len(best[column]) > 1], columns)
