"""Asking Snakemake about a run without running it: which jobs are left and why, which files each rule makes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.pipeline.stages import STAGES

REASONS = {  # Snakemake's words, and ours; the first that holds is reported
    "output files have to be generated": "not made yet",
    "params have changed since last execution": "its settings or code changed",
    "code has changed since last execution": "its command changed",
    "set of input files has changed since last execution": "it has other inputs",
    "updated input files": "its inputs changed",
    "input files updated by another job": "its inputs are rerun",
}


@dataclass(frozen=True)
class Pending:
    """What is left of a stage: its jobs, and why they have to run."""

    jobs: int
    why: str


@dataclass(frozen=True)
class Graph:
    """The jobs of a whole run: the outputs of each rule, and which rules read which."""

    outputs: dict[str, list[Path]]
    reads: dict[str, set[str]]


def pending_stages(config: Path, changes: Sequence[str] = ()) -> dict[str, Pending]:
    """Return what a run with this config would do in this folder, by stage in the order of the table.

    `changes` are keys of the config as Snakemake's `--config` takes them, such as ``seed=1``.
    """
    ended = _ask(["--dry-run", "--quiet", "rules"], config, Path.cwd(), changes=changes)
    told = ended.stdout + ended.stderr
    table = told.partition("Job stats:")[2].partition("\ntotal")[0]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {name: Pending(jobs[name], _why(told, name)) for name in STAGES if name in jobs}


def _why(told: str, rule: str) -> str:
    for theirs, ours in REASONS.items():
        listed = re.search(rf"^ +{theirs}:\n +(.*)$", told, re.MULTILINE)
        if listed and rule in listed[1].split(", "):
            return ours
    return "see snakemake --dry-run"


def changes_of(texts: Sequence[str]) -> dict[str, Any]:
    """Return the keys of the config that texts such as ``seed=1`` change, as Snakemake's `--config` reads them."""
    from snakemake.cli import parse_config

    try:
        return dict(parse_config(texts))
    except ValueError as error:
        raise UserError(f"--set {' '.join(texts)}: {' '.join(str(error).split())}") from None


def graph_of(config: Path, project: Path = layout.PROJECT) -> Graph:
    """Return the jobs of a run with this config, by the rules of `project`, that has not begun."""
    outputs: dict[str, list[Path]] = {}
    with tempfile.TemporaryDirectory() as empty:
        for row in _rows(_ask(["--summary"], config, Path(empty), project)):
            outputs.setdefault(row["rule"], []).append(Path(row["output_file"]))
        graph = json.loads(_ask(["--d3dag"], config, Path(empty), project).stdout)
    rule_of = {node["id"]: node["value"]["rule"] for node in graph["nodes"]}
    reads: dict[str, set[str]] = {}
    for edge in graph["edges"]:
        reads.setdefault(rule_of[edge["v"]], set()).add(rule_of[edge["u"]])
    return Graph(outputs, reads)


def summary_of(folder: Path) -> list[dict[str, str]]:
    """Return Snakemake's row on each file of the run in `folder`: rule, log, command, inputs."""
    if not (folder / layout.RUN_CONFIG).exists():
        raise UserError(f"{folder}: no run of the pipeline; expected {layout.RUN_CONFIG} in it; run snakemake first")
    return _rows(_ask(["--detailed-summary"], folder / layout.RUN_CONFIG, folder))


def _rows(ended: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    header, *lines = ended.stdout.splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


def _ask(
    what: Sequence[str], config: Path, folder: Path, project: Path = layout.PROJECT, changes: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Return what Snakemake prints about a run in `folder`; what it complains about is a `UserError`."""
    command = [sys.executable, "-m", "snakemake", *what, "--snakefile", str(project / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(config.resolve())]
    command += ["--config", *changes] if changes else []
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    ended = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip() and "specific profile" not in line]
        raise UserError(*(lines or [f"{shlex.join(command)}: exit code {ended.returncode} without a word"]))
    return ended
