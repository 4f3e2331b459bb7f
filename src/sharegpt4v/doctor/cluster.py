"""Is Slurm there, does it tell what becomes of jobs, has it what the profile asks for, does a job of each kind run."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.config import Config
from sharegpt4v.doctor.finding import Finding
from sharegpt4v.doctor.partitions import Node, usable_nodes
from sharegpt4v.doctor.profile import Kind, kinds
from sharegpt4v.errors import UserError
from sharegpt4v.pipeline.slurm import ask
from sharegpt4v.pipeline.stages import is_training

PROGRAMS = ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
SECONDS_TO_START = 60
SECONDS_TO_RUN = 10


def cluster_findings(profile: dict[str, Any], config: Config, with_jobs: bool) -> Iterator[Finding]:
    """Yield what Slurm has and lacks for the profile; `with_jobs` also runs one short job of each kind."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        yield Finding("Slurm", f"no {', '.join(missing)} here", "run on a login node of the cluster, or install Slurm")
        return
    try:
        controllers = ask("scontrol", "ping")
    except UserError as error:
        controllers = str(error)
    up = " is UP" in controllers
    yield Finding("Slurm", controllers.splitlines()[0], None if up else "see that slurmctld runs and can be reached")
    if not up:
        return
    yield _status_command(profile)
    nodes = usable_nodes()
    for kind in kinds(profile, config):
        finding = _offered(kind, nodes, config)
        yield finding
        if with_jobs and finding.remedy is None:
            yield _job(kind)


def _status_command(profile: dict[str, Any]) -> Finding:
    """Snakemake would wait for ever for jobs whose end it cannot see."""
    command = profile.get("slurm-status-command", "sacct")
    try:
        ask(command, "--noheader")
    except UserError as error:
        return Finding("status command", str(error), "set slurm-status-command: squeue in the profile")
    shown = re.search(r"MinJobAge\s*=\s*(\d+)", ask("scontrol", "show", "config"))
    age, wanted = int(shown[1]) if shown else 0, 3 * int(profile.get("slurm-init-seconds-before-status-checks", 40))
    if command == "squeue" and age < wanted:
        remedy = f"raise MinJobAge to {wanted}, or lower slurm-init-seconds-before-status-checks in the profile"
        return Finding("status command", f"squeue lists ended jobs for {age} seconds", remedy)
    return Finding("status command", f"{command} answers")


def _offered(kind: Kind, nodes: Sequence[Node], config: Config) -> Finding:
    """Whether the partition has nodes that can take it, and the GPUs are as many as the processes that train."""
    inside = [node for node in nodes if node.partition == kind.partition]
    able = [node for node in inside if node.gpus >= kind.gpus and node.mem_mb >= kind.mem_mb]
    what, found = kind.name, f"{len(able)} nodes of partition {kind.partition or '(none)'} can take it"
    processes, training = config.compute.processes_per_node, [rule for rule in kind.rules if is_training(rule)]
    if len(able) < kind.nodes:
        wanted = f"{kind.nodes} with {kind.gpus} GPUs and {kind.mem_mb / 1000:.0f} GB of memory"
        return Finding(what, found, f"expected {wanted}: see `sinfo`, and put the right partition in the profile")
    limit = able[0].minutes
    if limit is not None and limit < kind.minutes:
        remedy = f"its time limit is {limit} minutes, {kind.minutes} are asked for: set longest_minutes in the profile"
        return Finding(what, found, remedy)
    if training and processes > 1 and kind.gpus not in (0, processes):
        remedy = f"compute.processes_per_node is {processes}: set gres of {', '.join(training)} to as many"
        return Finding(what, found, remedy)
    return Finding(what, found)


def _job(kind: Kind) -> Finding:
    """Run `s4v --version` on every node of a job, from this folder."""
    limits = ["--quiet", f"--immediate={SECONDS_TO_START}", "--time=1"]
    script = f"cd {Path.cwd()} && echo GPUs=${{SLURM_GPUS_ON_NODE:-0}} $(s4v --version)"
    began, what = time.monotonic(), f"job: {kind.name}"
    try:
        ended = subprocess.run(
            ["srun", *kind.options(), *limits, "sh", "-c", script], capture_output=True, text=True,
            timeout=SECONDS_TO_START + SECONDS_TO_RUN,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        seconds = SECONDS_TO_START + SECONDS_TO_RUN
        return Finding(what, f"not done after {seconds} seconds", "see `squeue` and `sinfo` for what it waits for")
    took, lines = time.monotonic() - began, ended.stdout.split("\n")[:-1]
    if ended.returncode or len(lines) != kind.nodes:
        told = (ended.stderr.strip().splitlines() or ["no word"])[-1]
        return Finding(what, told, "see that this folder and .venv are on a file system that all nodes share")
    if any(not line.startswith(f"GPUs={kind.gpus} ") for line in lines):
        return Finding(what, f"ran with {lines[0]}", f"expected {kind.gpus} GPUs: see gres in the profile")
    return Finding(what, f"ran on {kind.nodes} nodes in {took:.1f} s" if kind.nodes > 1 else f"ran in {took:.1f} s")
