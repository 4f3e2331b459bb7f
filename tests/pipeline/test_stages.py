"""The table of stages holds everywhere: rules, commands, logs, plan, profile, DVC and MLflow use its names."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml

from conftest import PROJECT
from sharegpt4v.catalogues.benchmarks import read_catalogue
from sharegpt4v.code_hash import names_in
from sharegpt4v.config import load
from sharegpt4v.doctor.profile import read_profile
from sharegpt4v.pipeline.dvc import rule_files
from sharegpt4v.pipeline.rerun import roots_of
from sharegpt4v.pipeline.stages import JUDGED, STAGES, Stage
from sharegpt4v.plan.estimate import Estimate
from sharegpt4v.plan.resources import StageResources, described_cluster
from smoke_files import NOT_RUN

RULES = "\n".join(file.read_text("utf-8") for file in sorted((PROJECT / "workflow/rules").glob("*.smk")))
NO_STAGES = {"endpoints"}  # what stages have in common


def rule(name: str) -> str:
    return re.split(r"^(?=rule )", RULES.partition(f"rule {name}:")[2], flags=re.MULTILINE)[0]


@pytest.mark.parametrize(("name", "stage"), STAGES.items())
def test_rule_command_log_and_timing_carry_the_name_of_the_stage(name: str, stage: Stage) -> None:
    text = rule(name)
    item = [f"{{wildcards.{stage.item}:q}}"] if stage.item else []
    assert " ".join(["s4v stage", name, *item, "2>&1 | tee -i {log:q}"]) in text
    arguments = f'"{name}"' + (f', "{{{stage.item}}}"' if stage.item else "")
    assert f"layout.log_of({arguments})" in text and f"layout.timing_of({arguments})" in text
    assert f'stage_params(run, "{name}")' in text
    assert f'**resources_of("{name}")' in text


def test_every_rule_and_every_module_is_a_row_of_the_table() -> None:
    rules = set(re.findall(r"^ *rule (\w+):", RULES, re.MULTILINE))
    assert {name for name in rules if not name.startswith("all_")} == set(STAGES)
    assert set(names_in("stages")) - NO_STAGES == set(STAGES)


@pytest.mark.parametrize(("name", "stage"), STAGES.items())
def test_the_module_of_a_stage_runs_it_by_config_and_item(name: str, stage: Stage) -> None:
    parameters = inspect.signature(importlib.import_module(f"sharegpt4v.stages.{name}").run).parameters
    assert list(parameters) == ["config", *([stage.item] if stage.item else [])]


def test_rules_hold_no_path_of_their_own() -> None:
    code = re.sub(r'""".*?"""|caption="\.\./report/\w+\.rst"', "", RULES, flags=re.DOTALL)
    assert not re.findall(r'"[^"]*(?:data|checkpoints|results|logs)/[^"]*"', code)
    assert "threads: 1\n" not in code


def test_the_stages_of_dvc_are_files_of_rules_that_share_all_stages_out() -> None:
    files = rule_files()
    assert sorted(name for file in files for name in file.rules) == sorted(STAGES)
    recorded = yaml.safe_load((PROJECT / "dvc.yaml").read_text("utf-8"))["stages"]
    for file in files:
        for name in set(file.rules) - {*NOT_RUN, "text_baseline"}:  # the miniature has none
            assert f"src/sharegpt4v/stages/{name}.py" in recorded[file.name]["deps"]


def test_the_stages_that_use_gpus_get_them_in_the_partition_of_the_slurm_profile() -> None:
    cluster = described_cluster(read_profile(PROJECT / "profiles/slurm")["default-resources"])
    asked = StageResources(load(PROJECT / "config/smoke.yaml"), cluster)
    for name, stage in STAGES.items():
        got = asked(name)
        expected = ("gpu", "gpu:1") if stage.device != "cpu" else (None, None)
        assert (got.get("slurm_partition"), got.get("gres")) == expected, name


@pytest.mark.parametrize("preset", ["config", "paper-7b", "released", "released-captions"])
def test_the_rows_of_a_plan_are_stages_in_their_order(preset: str) -> None:
    rows = list(Estimate(load(PROJECT / f"config/{preset}.yaml"), "A100-80G").costs())
    assert rows == [name for name in STAGES if name in rows]


def test_the_jobs_that_mlflow_shows_are_stages(smoke: Path) -> None:
    logs = {path.relative_to(smoke / "logs").parts[0].removesuffix(".log") for path in (smoke / "logs").rglob("*.log")}
    assert logs == set(STAGES) - NOT_RUN


def test_a_judge_grades_the_benchmarks_whose_code_its_stage_depends_on() -> None:
    judged = {entry.module for entry in read_catalogue().values() if entry.scoring == "judge"}
    assert {module.rpartition(".")[2] for module in JUDGED} == judged
    modules = {f"evaluation.benchmarks.{entry.module}" for entry in read_catalogue().values()}
    assert modules <= set(roots_of("scores", load(PROJECT / "config/config.yaml")))
