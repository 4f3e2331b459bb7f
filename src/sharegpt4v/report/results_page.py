"""The page ``results/README.md``: what each file of the results is, for whoever gets the folder without the project."""

from __future__ import annotations

from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.files import write_text

FILES = {
    layout.REPORT.name: "all of it as one page: findings, scores with their provenance, captions, answers, costs",
    layout.TABLE.name: "every model on every benchmark, one number a cell",
    layout.TABLE.with_suffix(".md").name: "the same to read, with standard errors, splits, scorers and judges",
    layout.MORE_TABLE.name: "the same for benchmarks that the paper does not report",
    layout.MORE_TABLE.with_suffix(".md").name: "and to read",
    layout.CELLS.name: "all that is known of each cell: error, counts, split, scorer, judge, hashes",
    layout.SUBSTITUTION.name: "what better captions gain: pairs of models that differ in their detail captions alone",
    layout.SUBSTITUTION_ERRORS.name: "the standard errors of these gains",
    layout.SUBSTITUTION.with_suffix(".md").name: "both to read",
    layout.ABLATION_TABLE.name: "what each part of the method adds: the variants of `snakemake ablations`",
    layout.ABLATION_MEMORY.name: "the peak memory of their pre-trainings, which differs from run to run",
    layout.ABLATION_TABLE.with_suffix(".md").name: "the ablations to read",
    layout.DATASETS.name: "the caption data sets compared",
    layout.PREFERENCE.name: "which of two sets of captions is preferred, by `s4v compare-captions`",
    layout.CAPTION_QUALITY.name: "what is measured of the two sets: length, repetition, objects, facts",
    "captions/": "what the captions of each set are like, by source",
    layout.MIXTURE.name: "how many rows of each source the corpora had, lost, got and have",
    layout.CURVES.name: "the loss of every training, in a hundred points",
    "tables/": "these tables as pages, for Snakemake's own report",
    "cards/": "a card of each model and of each data set: origin, recipe, numbers, licences",
    "figures/": "the figures of these tables, as SVG and as PNG for slides",
    "metrics/": "the scores of each model, for `dvc metrics show`",
    "answers/": "the answers of each model, with their provenance",
    "judged/": "the verdicts of the judge on them",
    "scores/": "the scores of each model by benchmark, question by question",
    "submissions/": "answers as the benchmarks' own servers take them",
    layout.MLFLOW_RUNS.name: "the ids of the runs in the tracker",
    layout.TRACKED.name: "whether all of it is shown in the tracker",
}
"""What the stages write to the folder; which of them are there depends on the config."""


def write_results_page(out: Path, notice: str = "") -> None:
    """Write the page; a `notice` is its first line."""
    first = f"{notice}\n\n" if notice else ""
    rows = "".join(f"| `{name}` | {what} |\n" for name, what in FILES.items())
    write_text(out, f"{first}| file | what it is |\n| --- | --- |\n{rows}")
