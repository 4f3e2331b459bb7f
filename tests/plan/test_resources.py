"""What a job asks Slurm for follows from the preset: little for the miniature, the paper's machines for its models."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from conftest import ENVIRONMENT, PROJECT
from sharegpt4v.config import load
from sharegpt4v.doctor.new_profile import TEMPLATE, profile_of
from sharegpt4v.doctor.partitions import minutes_of, parse_node
from sharegpt4v.errors import UserError
from sharegpt4v.plan.resources import Cluster, StageResources

CLUSTER = Cluster(gpu_partition="gpu", internet_partition="transfer", longest_minutes=2880)
ASK_OTHERS: dict[str, Any] = {
    "teacher": {"base_url": "http://127.0.0.1:1/v1"},
    "judge": {"base_url": "http://127.0.0.1:1/v1"},
}


def resources(preset: str, cluster: Cluster = CLUSTER, **changes: Any) -> StageResources:
    return StageResources(load(PROJECT / f"config/{preset}.yaml", changes), cluster)


def test_the_miniature_asks_for_little_and_the_paper_for_its_machines() -> None:
    small, large = resources("smoke")("finetuning"), resources("paper-7b")("finetuning")
    assert small["mem_mb"] <= 3000 and small["runtime"] == 30 and small["gres"] == "gpu:1" and "nodes" not in small
    assert (large["nodes"], large["tasks"], large["gres"], large["slurm_partition"]) == (2, 2, "gpu:8", "gpu")
    # 7B weights in bfloat16 and the state on its way to the disk; a node of A100s has 1 to 2 TB.
    assert 7e9 * (2 + 12 / 2) / 1e6 < large["mem_mb"] < 1_000_000
    assert 60 < large["runtime"] <= 2880
    assert resources("paper-13b")("finetuning")["mem_mb"] > large["mem_mb"]
    assert resources("paper-7b", compute={"nodes": 1, "processes_per_node": 4})("pretraining")["gres"] == "gpu:4"


def test_a_time_limit_covers_the_hours_of_the_plan_and_stays_below_the_clusters() -> None:
    config = load(PROJECT / "config/paper-7b.yaml")
    for stage in ("captioner", "pretraining", "finetuning", "captions"):
        free = StageResources(config, Cluster())
        longest = free._estimate.costs()[stage].longest_gpu_hours
        gpus = 1 if stage == "captions" else config.compute.processes
        assert longest and free(stage)["runtime"] >= 2 * 60 * longest / gpus, stage
        assert StageResources(config, Cluster(longest_minutes=90))(stage)["runtime"] == 90


def test_only_trainings_are_warned_of_their_time_limit() -> None:
    asked = resources("paper-7b")
    warned = {stage for stage in ("captioner", "pretraining", "finetuning", "captions", "source", "answers")
              if "slurm_extra" in asked(stage)}  # fmt: skip
    assert warned == {"captioner", "pretraining", "finetuning"}
    assert asked("finetuning")["slurm_extra"] == "--signal=USR1@300"


@pytest.mark.parametrize(("preset", "expected"), [
    ("paper-7b", {"source", "seed_captions", "judgements", "language_model", "vision_tower", "alignment"}),
    ("smoke", {"seed_captions", "judgements"}),
])  # fmt: skip
def test_what_needs_the_internet_runs_where_the_profile_says(preset: str, expected: set[str]) -> None:
    asked = resources(preset, **ASK_OTHERS)
    stages = ("source", "seed_captions", "judgements", "language_model", "vision_tower", "alignment", "finetuning")
    assert {stage for stage in stages if asked(stage).get("slurm_partition") == "transfer"} == expected
    assert asked.local_rules() == []
    here = resources(preset, Cluster(internet_partition="submit_host"), **ASK_OTHERS)
    assert set(here.local_rules()) >= expected and "finetuning" not in here.local_rules()
    assert resources("smoke", Cluster(internet_partition="submit_host")).local_rules() == []


def test_resources_are_worked_out_without_torch() -> None:
    code = (
        "import sys, sharegpt4v.plan.resources as r; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, env=ENVIRONMENT)


NODES = [
    "login*|idle|(null)|64000|16|1:00:00",
    "small|idle|gpu:v100:4|250000|32|infinite",
    "big|mix|gpu:a100:8(S:0-1)|1031000|128|2-00:00:00",
    "big|idle|gpu:h100:4|1031000|128|2-00:00:00",
]


def test_a_profile_takes_the_partition_with_most_gpus_and_keeps_what_the_template_says() -> None:
    text = profile_of(TEMPLATE.read_text(), [parse_node(line) for line in NODES])
    assert "\n  slurm_partition: login\n" in text and "\n  gpu_partition: big\n" in text
    assert "\n  gpu_type: a100 #" in text and "\n  longest_minutes: 2880 #" in text
    text = profile_of(TEMPLATE.read_text(), [parse_node(NODES[1])])
    assert "\n  gpu_partition: small\n" in text and "\n  # gpu_type: a100 #" in text
    assert "\n  # longest_minutes: 2880 #" in text and "  internet_partition: submit_host\n" in text
    with pytest.raises(UserError, match="no usable node with GPUs"):
        profile_of(TEMPLATE.read_text(), [parse_node(NODES[0])])


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [("infinite", None), ("2-00:00:00", 2880), ("1-01:30:00", 1530), ("12:00:00", 720), ("30:00", 30)],
)
def test_time_limits_of_sinfo(limit: str, minutes: int | None) -> None:
    assert minutes_of(limit) == minutes
