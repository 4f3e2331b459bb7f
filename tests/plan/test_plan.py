"""What a plan says is worked out, not made up: it agrees with published hours, and every number has a source."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import BIN, ENVIRONMENT, PROJECT, copy_of, run
from sharegpt4v.config import load
from sharegpt4v.models import llava_flops as flops
from sharegpt4v.pipeline.snakemake import Pending
from sharegpt4v.plan.estimate import Cost, Estimate
from sharegpt4v.plan.missing import Missing, missing
from sharegpt4v.plan.page import costs_csv, plan_text
from sharegpt4v.plan.tables import read_prices

S4V = str(BIN / "s4v")
CONFIG = PROJECT / "config"
ALIGNED_HERE = {"llm": {size: {"projector": None} for size in ("7b", "13b")}}
STAGES = ("alignment", "pretraining", "finetuning")


def estimate(preset: str, device: str = "A100-80G", **changes: Any) -> Estimate:
    return Estimate(load(CONFIG / f"{preset}.yaml", changes), device)


def published(stage: str, size: str) -> float:
    with open(CONFIG / "paper/gpu_hours.csv", newline="") as file:
        (hours,) = (
            float(row["gpu_hours"]) for row in csv.DictReader(file) if (row["stage"], row["size"]) == (stage, size)
        )
    return hours


def hours(plan: Estimate, stage: str, models: int = 1) -> float:
    planned = plan.costs()[stage].gpu_hours
    assert planned is not None
    return planned / models


@pytest.mark.parametrize("stage", STAGES)
def test_gpu_hours_are_those_that_the_share_of_the_peak_was_read_off(stage: str) -> None:
    plan = estimate("paper-7b", base_models=ALIGNED_HERE)
    models = len(plan.config.models) if stage == "finetuning" else 1
    assert hours(plan, stage, models) == pytest.approx(published(stage, "7b"), rel=0.03)


def test_gpu_hours_of_the_13b_follow_from_those_of_the_7b() -> None:
    models = [{"name": "a", "size": "13b", "mix": "llava-665k"}]
    plan = estimate("released-captions", base_models=ALIGNED_HERE, models=models)
    assert hours(plan, "alignment") == pytest.approx(published("alignment", "13b"), rel=0.25)
    plan.assumed["mfu_finetuning"] = 0.24  # what LLaVA-1.5 reached
    assert hours(plan, "finetuning") == pytest.approx(published("finetuning of LLaVA-1.5", "13b"), rel=0.05)
    small = estimate("released-captions")
    small.assumed["mfu_finetuning"] = 0.24
    assert hours(small, "finetuning") == pytest.approx(published("finetuning of LLaVA-1.5", "7b"), rel=0.05)


def test_operations_are_those_of_the_papers_models() -> None:
    models = load(CONFIG / "paper-7b.yaml").base_models
    assert flops.visual_tokens(models.vision_tower) == 576
    assert flops.llm_weights(models.llm["7b"], 32_000) == 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 32_000 * 4096
    assert flops.tower_forward(models.vision_tower) == pytest.approx(3.82e11, rel=0.01)
    assert flops.trained_blocks(models.vision_tower, 12) == 11 and flops.trained_blocks(models.vision_tower, None) == 0
    assert flops.all_weights(models, "7b") == pytest.approx(7.06e9, rel=0.01)
    assert flops.projector_weights(models, "7b") == 1024 * 4096 + 4096 * 4096
    linear = load(CONFIG / "substitution-llava.yaml")
    assert flops.visual_tokens(linear.base_models.vision_tower) == 256
    assert flops.trained_weights(linear.base_models, "7b", linear.alignment) == 1024 * 4096


def test_hours_scale_with_the_device_and_what_is_trained() -> None:
    a100, h100 = estimate("paper-7b"), estimate("paper-7b", "H100")
    assert hours(a100, "pretraining") / hours(h100, "pretraining") == pytest.approx(989 / 312)
    frozen = estimate("paper-7b", pretraining={"train_llm": False, "tune_vit_from_layer": None})
    assert hours(frozen, "pretraining") / hours(a100, "pretraining") == pytest.approx(2 / 3, rel=0.03)


def test_money_is_images_times_tokens_times_price() -> None:
    seed = estimate("paper-7b").costs()["seed_captions"]
    assert seed.usd == pytest.approx(102_025 * ((120 + 765) * 2.5 + 214 * 10) / 1e6)
    assert seed.usd is not None and seed.batch_usd == pytest.approx(seed.usd / 2)
    low = estimate("paper-7b", teacher={"image_detail": "low", "model": "gpt-4-vision-preview"}).costs()[
        "seed_captions"
    ]
    assert low.usd == pytest.approx(102_025 * ((120 + 85) * 10 + 214 * 30) / 1e6) and low.batch_usd is None
    assert estimate("paper-7b", teacher={"model": "new"}).costs()["seed_captions"].usd is None
    assert not {"seed_captions", "captioner"} & estimate("released-captions").costs().keys()
    assert {cost.usd for cost in estimate("config").costs().values()} == {0.0}


@pytest.mark.parametrize("name", ["hardware", "prices", "assumptions"])
def test_every_number_has_its_source(name: str) -> None:
    lines = [line for line in (CONFIG / f"{name}.tsv").read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows and all(row["source"] and None not in row for row in rows)
    assert all(price.date for price in read_prices().values())


def test_what_is_missing_comes_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    config = load(CONFIG / "paper-7b.yaml", {"teacher": {"budget": {"limit_usd": 9}}})
    pending = {stage: Pending(1, "not made yet") for stage in ("source", "seed_captions", "answers")}
    costs = {"source": Cost(1, gigabytes=1e9), "seed_captions": Cost(1, usd=500.0)}
    lacks = {one.what: one for one in missing(config, pending, costs)}
    assert lacks["key of teacher"].remedy == "put the key of https://api.openai.com/v1 into OPENAI_API_KEY"
    assert "raise teacher.budget.limit_usd" in lacks["money"].remedy
    assert "accept Meta's terms" in lacks["links of sam"].remedy and lacks["links of sam"].stops
    assert "room" in lacks and "key of judge" not in lacks and lacks["files of mme"].stops
    assert "data/eval has no MME/MME_Benchmark_release*" in lacks["files of mme"].remedy
    reported = load(CONFIG / "paper-7b.yaml", {"benchmarks": {"missing": "report"}})
    assert "benchmarks: all" in {one.what for one in missing(reported, pending, costs)}
    (tmp_path / "data/eval/MME").mkdir(parents=True)
    monkeypatch.setenv("OPENAI_API_KEY", "set")
    lacks = {one.what: one for one in missing(config, pending, costs)}
    assert "key of teacher" not in lacks
    placed = load(CONFIG / "paper-7b.yaml", {"sources": {"placed": ["sam"]}})
    assert "images in data/sam/images" in {one.what for one in missing(placed, pending, costs)}
    (tmp_path / "links.txt").touch()
    linked = load(CONFIG / "paper-7b.yaml", {"sources": {"link_files": {"sam": "links.txt"}}})
    assert not {"links of sam", "login for sam"} & {one.what for one in missing(linked, pending, costs)}
    cheap = load(CONFIG / "paper-7b.yaml", {"teacher": {"mode": "batch", "budget": {"limit_usd": 300}}})
    dear = load(CONFIG / "paper-7b.yaml", {"teacher": {"budget": {"limit_usd": 300}}})
    assert "money" in {one.what for one in missing(dear, pending, costs)}
    assert "money" not in {one.what for one in missing(cheap, pending, costs)}
    (tmp_path / "data/sam/images").mkdir(parents=True)
    (tmp_path / "data/sam/images/sa_1.jpg").touch()
    assert not {"login for sam", "images in data/sam/images"} & {one.what for one in missing(placed, pending, costs)}
    lacks = {one.what: one for one in missing(reported, pending, costs)}
    (benchmarks,) = (one for what, one in lacks.items() if what.startswith("benchmarks: llava-bench, mmbench,"))
    assert not benchmarks.stops and "their cells stay empty" in benchmarks.remedy


def test_the_page_counts_what_is_left_and_says_what_is_not_known() -> None:
    pending = {"captions": Pending(5, "not made yet"), "judgements": Pending(2, "its inputs are rerun")}
    costs = {"captions": Cost(10, 100.0, gigabytes=8.0), "judgements": Cost(2, usd=3.0, batch_usd=None)}
    text = plan_text("p", pending, costs, [Missing("a", "b", stops=False)], ["c"], {"captions": 90.0}).splitlines()
    assert [line.split() for line in text if line.startswith(("captions", "in all"))] == [
        ["captions", "5", "not", "made", "yet", "7.5", "50", "-", "-", "4.0"],
        ["in", "all", "7", "7.5", "+", "?", "50", "3.0", "-", "+", "?", "4.0"],
    ]
    assert text[-1] == "Ready." and "provided, not made: c" in text
    assert plan_text("p", pending, costs, [Missing("a", "b")], [], {}).endswith("see what is missing.")
    spent = {"gpu_hours": {"captions": 2.5}, "usd": {}, "gigabytes": {}}
    assert costs_csv(costs, spent).splitlines()[:2] == ["stage,quantity,planned,spent", "captions,gpu_hours,100,2.5"]


def test_a_plan_of_the_paper_fits_a_screen_and_refuses(tmp_path: Path) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "OPENAI_API_KEY"}
    ended = run([S4V, "plan", "--config", str(CONFIG / "paper-7b.yaml")], tmp_path, environment)
    assert ended.returncode == 1 and ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert len(lines) <= 40
    assert any(line.split()[:5] == ["captions", "125", "not", "made", "yet"] for line in lines)
    assert any(line.startswith("captions by vllm, 7b: ") and "bandwidth_vllm 0.25" in line for line in lines)
    assert "missing: key of teacher: put the key of https://api.openai.com/v1 into OPENAI_API_KEY" in lines
    with open(tmp_path / "results/costs.csv", newline="") as file:
        rows = {(row["stage"], row["quantity"]): row for row in csv.DictReader(file)}
    assert float(rows["pretraining", "gpu_hours"]["planned"]) == pytest.approx(192, rel=0.03)
    assert {row["spent"] for row in rows.values()} == {"0"}


def test_a_finished_run_has_nothing_left_and_says_what_it_spent(smoke: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    ended = run([S4V, "plan", "--config", str(CONFIG / "paper-7b.yaml")], folder)
    assert "paper-7b, in " in ended.stdout and not (folder / "results/costs.csv").exists()  # it is of another run
    ended = run([S4V, "plan", "--config", str(CONFIG / "smoke.yaml")], folder)
    assert ended.returncode == 0 and "nothing to do: everything is made" in ended.stdout, ended.stderr
    written = (folder / "results/costs.csv").stat().st_mtime_ns
    with open(folder / "results/costs.csv", newline="") as file:
        spent = {(row["stage"], row["quantity"]): float(row["spent"]) for row in csv.DictReader(file)}
    for stage in ("captioner", "pretraining", "finetuning", "answers"):
        assert spent[stage, "gpu_hours"] > 0
    for stage in ("source", "captions", "pretraining", "finetuning"):
        assert spent[stage, "gigabytes"] > 0
    changed = yaml.safe_dump({"base": str(CONFIG / "smoke.yaml"), "name": "x", "finetuning": {"learning_rate": 1e-5}})
    (tmp_path / "changed.yaml").write_text(changed)
    ended = run([S4V, "plan", "--config", str(tmp_path / "changed.yaml")], folder)
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith("finetuning"))
    assert line.split("  ")[0] == "finetuning" and "its settings or code changed" in line
    assert not any(line.startswith("pretraining") for line in ended.stdout.splitlines())
    ended = run([S4V, "plan", "--set", "finetuning={learning_rate: 1e-5}"], folder)
    rows = {line.split()[0]: line.split() for line in ended.stdout.splitlines() if "settings or code" in line}
    assert list(rows) == ["finetuning"] and float(rows["finetuning"][-5]) > 0  # minutes, by the timings of this folder
    assert (folder / "results/costs.csv").stat().st_mtime_ns == written
