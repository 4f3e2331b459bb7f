"""Which stages a run would carry out, how many jobs each, and why: what Snakemake's dry run says, told by stage."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v import layout
from sharegpt4v.errors import UserError

# Rules by stage, in the order of the pipeline. The rules that are in none, such as table, cost nothing to speak of.
RULES = {
    "sources": ("mini_world", "source"),
    "seed captions": ("seed_captions",),
    "base models": ("tokenizer", "language_model", "vision_tower"),
    "alignment": ("alignment",),
    "captioner": ("captioner",),
    "captions": ("captions", "pretraining_corpus"),
    "corpora": ("substituted_mix",),
    "pre-training": ("pretrained",),
    "fine-tuning": ("finetuned",),
    "answers": ("answers",),
    "judge": ("judged",),
    "tables": ("scores", "submissions", "table", "substitution", "mixture", "datasets", "figure", "tracked", "cells"),
}
REASONS = {  # Snakemake's words, and ours; the first that holds is told
    "output files have to be generated": "not made yet",
    "params have changed since last execution": "its settings or code changed",
    "set of input files has changed since last execution": "it has other inputs",
    "updated input files": "its inputs changed",
    "input files updated by another job": "its inputs are made again",
}


@dataclass(frozen=True)
class Pending:
    """What is left of a stage: its jobs, and why they have to run."""

    jobs: int
    why: str


def pending_stages(config_file: Path) -> dict[str, Pending]:
    """Return what a run with this config would carry out here, by stage; nothing of what is done."""
    said = _dry_run(config_file)
    table = said.partition("Job stats:")[2].partition("\ntotal")[0]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    stages = {}
    for stage, rules in RULES.items():
        found = [rule for rule in rules if rule in jobs]
        if found:
            stages[stage] = Pending(sum(jobs[rule] for rule in found), _why(said, found))
    return stages


def _why(said: str, rules: list[str]) -> str:
    for theirs, ours in REASONS.items():
        listed = re.search(rf"^ +{theirs}:\n +(.*)$", said, re.MULTILINE)
        if listed and set(rules) & set(listed[1].split(", ")):
            return ours
    return "see snakemake --dry-run"


def _dry_run(config_file: Path) -> str:
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules"]
    command += ["--snakefile", str(layout.PROJECT / "Snakefile"), "--directory", str(Path.cwd())]
    command += ["--configfile", str(config_file.resolve())]
    ended = subprocess.run(
        command, cwd=layout.PROJECT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, capture_output=True, text=True
    )
    if ended.returncode:
        told = [line for line in ended.stderr.splitlines() if line.strip() and "specific profile" not in line]
        raise UserError(f"snakemake --dry-run: {told[-1] if told else ended.returncode}")
    return ended.stdout + ended.stderr
