"""What each stage's jobs ask Slurm for, worked out from the config: partition, GPUs, nodes, CPUs, memory, time.

The miniature asks for little and the paper's models for what they need. The profile says what partitions there are; its
`set-resources` may say otherwise for any rule. Nothing here imports torch: every start of Snakemake reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sharegpt4v.config import Config
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.lifetime import SECONDS_TO_SAVE
from sharegpt4v.pipeline.stages import STAGES
from sharegpt4v.plan.estimate import Estimate
from sharegpt4v.plan.host_memory import host_memory
from sharegpt4v.plan.published import downloaded_bytes, endpoints_of, gpus_of, needs_internet

DEVICE = "A100-80G"
SUBMIT_HOST = "submit_host"
"""In the profile's `internet_partition`: not in the queue, but where Snakemake runs."""
SHORTEST, ROUNDED = 30, 10  # minutes
CPUS_PER_GPU = 4  # they decode the images ahead of the GPU


@dataclass(frozen=True)
class Cluster:
    """What a profile's `default-resources` says of the cluster; empty or None where it says nothing.

    `internet_partition` is where the internet is reached, or `SUBMIT_HOST`. `gpu_type` is Slurm's, as in gpu:a100:8.
    `longest_minutes` is the longest time limit to ask for: what is stopped by it resumes in the next attempt.
    """

    gpu_partition: str = ""
    internet_partition: str = ""
    gpu_type: str = ""
    longest_minutes: int | None = None


def cluster_of(default_resources: Any) -> Cluster:
    """Return the cluster that Snakemake's `--default-resources` describe, as texts like ``gpu_partition=gpu``; by None,
    where a run has none, or by others nothing is said."""
    texts = [] if default_resources is None else default_resources.args
    return described_cluster({name: value for name, _, value in (text.partition("=") for text in texts)})


def described_cluster(default_resources: Mapping[str, Any]) -> Cluster:
    """Return the cluster that `default-resources` of a profile describe."""
    told = {name: str(value).strip("'\"") for name, value in default_resources.items()}  # texts may be quoted twice
    longest = told.get("longest_minutes")
    names = ("gpu_partition", "internet_partition", "gpu_type")
    return Cluster(**{name: told.get(name, "") for name in names}, longest_minutes=int(longest) if longest else None)


class StageResources:
    """The resources of a config's stages on a cluster; call it with a stage."""

    def __init__(self, config: Config, cluster: Cluster) -> None:
        self.config, self.cluster, self._estimate = config, cluster, Estimate(config, DEVICE)
        self._costs = self._estimate.costs()

    def __call__(self, stage: str) -> dict[str, Any]:
        """Return what the rule of `stage` has as its resources, by Snakemake's and its executor's names."""
        config, cluster, gpus = self.config, self.cluster, gpus_of(self.config, stage)
        training = gpus > 0 and STAGES[stage].device == "training"
        nodes = config.compute.nodes if training else 1
        minutes = max(SHORTEST, ROUNDED * math.ceil(60 * self.hours(stage, gpus * nodes) / ROUNDED))
        found: dict[str, Any] = {
            "mem_mb": math.ceil(host_memory(config, stage) / 1e6),
            "runtime": min(minutes, cluster.longest_minutes or minutes),
            "cpus_per_task": max(STAGES[stage].processes, gpus * (1 if config.mini else CPUS_PER_GPU)),
        }
        partition = cluster.gpu_partition if gpus else ""
        if needs_internet(config, stage) and cluster.internet_partition != SUBMIT_HOST:
            partition = cluster.internet_partition
        if partition:
            found["slurm_partition"] = partition
        if gpus:
            found["gres"] = ":".join(filter(None, ["gpu", cluster.gpu_type, str(gpus)]))
        if training:
            found["slurm_extra"] = f"--signal=USR1@{round(SECONDS_TO_SAVE)}"  # it saves its state
        if nodes > 1:  # one task on each, which the command starts itself
            found |= {"nodes": nodes, "tasks": nodes, "tasks_per_gpu": 0, "mpi": "srun"}
        return found

    def local_rules(self) -> list[str]:
        """Return the stages whose jobs run where Snakemake does, as those that need the internet may."""
        if self.cluster.internet_partition != SUBMIT_HOST:
            return []
        return [stage for stage in STAGES if needs_internet(self.config, stage)]

    def has_jobs(self, stage: str) -> bool:
        """Whether a run has jobs of a stage that takes GPUs; those of others are not told apart."""
        return STAGES[stage].device == "cpu" or (stage in self._costs and self._costs[stage].jobs > 0)

    def hours(self, stage: str, gpus: int) -> float:
        """Return a time limit for the stage's longest job on so many GPUs: the estimate with its margin, in hours."""
        config, assumed = self.config, self._estimate.assumed
        hours: float | None
        if stage == "seed_captions" and config.teacher.mode == "batch":
            hours = assumed["batch_hours"]
        elif endpoint := endpoints_of(config).get(stage):
            hours = self._hours_asking(endpoint, self._requests(stage))
        elif needs_internet(config, stage):
            size = downloaded_bytes(config, stage)
            hours = None if size is None else size / assumed["download_bytes_per_second"] / 3600
        else:
            cost = self._costs.get(stage.removeprefix("ablation_"))  # a captioner of an ablation takes about as long
            known = cost.longest_gpu_hours if cost else 0.0
            hours = None if known is None else known / max(1, gpus)
        return assumed["safety_hours"] * (assumed["unknown_hours"] if hours is None else hours)

    def _requests(self, stage: str) -> int:
        """How often the largest job of a stage asks an endpoint."""
        requests = {
            "seed_captions": sum(self.config.teacher.captions.values()),
            "captions": self.config.captions.shard_rows,
            "answers": self._estimate.questions(),
            "judgements": self._estimate.judge_requests(),
        }
        return requests[stage]

    def _hours_asking(self, endpoint: Endpoint, requests: int) -> float:
        """Hours until an endpoint has answered so many requests."""
        per_minute = 60 * endpoint.concurrency / self._estimate.assumed["seconds_per_reply"]
        return requests / min(per_minute, endpoint.requests_per_minute or per_minute) / 60
