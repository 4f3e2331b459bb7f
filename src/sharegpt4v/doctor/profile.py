"""What kinds of job a Slurm profile asks for: partition, GPUs, nodes, memory, time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from sharegpt4v.config import Config
from sharegpt4v.errors import UserError
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.plan.resources import StageResources, described_cluster


@dataclass(frozen=True)
class Kind:
    """What jobs ask Slurm for. `gpus` counts per node; `mem_mb` and `minutes` are the most that any of
    its `rules` asks for."""

    partition: str
    account: str
    gres: str
    nodes: int
    mem_mb: int
    minutes: int
    rules: tuple[str, ...]

    @property
    def gpus(self) -> int:
        """GPUs per node; `gpu:a100:8` and `gpu:8` are eight, `gpu` is one."""
        last = self.gres.split(":")[-1]
        return 0 if not self.gres else int(last) if last.isdigit() else 1

    @property
    def name(self) -> str:
        """How a person calls it."""
        each = f"{self.gpus or 'no'} GPU{'s' * (self.gpus != 1)}" if self.gpus or self.nodes > 1 else "CPU"
        return f"{f'{self.nodes} nodes, ' if self.nodes > 1 else ''}{each} in {self.partition}"

    def options(self) -> list[str]:
        """The options of srun that ask for it."""
        options = [f"--partition={self.partition}", f"--nodes={self.nodes}", f"--ntasks={self.nodes}"]
        options += [f"--mem={self.mem_mb}"]
        options += [f"--account={self.account}"] if self.account else []
        return options + ([f"--gres={self.gres}"] if self.gres else [])


def read_profile(path: Path) -> dict[str, Any]:
    """Read the profile in the folder `path`, or in `path` itself when it is a file; a `UserError` when it is none."""
    file = path / "config.yaml" if path.is_dir() else path
    try:
        profile = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{file}: {error}; expected a profile of Snakemake") from None
    if not isinstance(profile, dict):
        raise UserError(f"{file}: expected a profile of Snakemake, a mapping of its options")
    return profile


def kinds(profile: dict[str, Any], config: Config) -> list[Kind]:
    """Return the kinds of job of a run by a profile, those on the submit host left out, the CPU job first."""
    default, changed = profile.get("default-resources", {}), profile.get("set-resources", {})
    resources = StageResources(config, described_cluster(default))
    local = resources.local_rules()
    found: dict[tuple[Any, ...], Kind] = {}
    for stage in STAGES:
        if stage in local or not resources.has_jobs(stage):
            continue
        kind = _kind(default | resources(stage) | changed.get(stage, {}), stage)
        alike = (kind.partition, kind.account, kind.gres, kind.nodes)
        if other := found.get(alike):
            memory, minutes = max(kind.mem_mb, other.mem_mb), max(kind.minutes, other.minutes)
            kind = replace(kind, mem_mb=memory, minutes=minutes, rules=(*other.rules, stage))
        found[alike] = kind
    return sorted(found.values(), key=lambda kind: kind.gpus > 0)


def _kind(resources: dict[str, Any], rule: str) -> Kind:
    def text(name: str) -> str:
        return str(resources.get(name, "")).strip("'\"")  # Snakemake evaluates values, so texts are quoted twice

    nodes, memory, minutes = (
        int(text(name) or least) for name, least in (("nodes", 1), ("mem_mb", 1000), ("runtime", 1))
    )
    return Kind(text("slurm_partition"), text("slurm_account"), text("gres"), nodes, memory, minutes, (rule,))
