"""What `s4v doctor` says of the models that a preset asks; what it says of a cluster is tested with Slurm."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from conftest import BIN, ENVIRONMENT, PROJECT, copy_of, run
from sharegpt4v.config import load
from sharegpt4v.doctor.benchmarks import benchmark_findings
from sharegpt4v.doctor.models import model_findings, read_retirements
from sharegpt4v.plan.tables import read_prices

OPENAI = "https://api.openai.com/v1"


def told(today: date, **changes: Any) -> dict[str, str]:
    """The lines on a config by what they are about, `changes` are keys of the teacher and the judge."""
    config = load(PROJECT / "config/paper-7b.yaml", changes)
    return {finding.what: str(finding) for finding in model_findings(config, today)}


@pytest.mark.parametrize(
    ("model", "day", "replacement"),
    [
        ("gpt-4-0314", "2026-03-26", "gpt-5 or gpt-4.1"),
        ("gpt-4-0613", "2026-10-23", "gpt-5.6-sol"),
        ("gpt-4-vision-preview", "2024-12-06", "gpt-4o"),
    ],
)
def test_a_retired_model_is_named_with_the_day_and_what_replaces_it(model: str, day: str, replacement: str) -> None:
    line = told(date(2026, 11, 1), judge={"model": model})["judge.model"]
    assert line.startswith("MISSING") and f"{model} was retired on {day} and replaced by {replacement}" in line
    assert "set judge.model to one that is served; scores by another judge are not comparable" in line
    before = told(date(2024, 12, 5), judge={"model": model})["judge.model"]
    assert before.startswith("ok") and f"{model} is served until {day}, then replaced by {replacement}" in before


def test_the_teacher_is_looked_up_too_and_other_models_and_endpoints_are_not() -> None:
    day = date(2027, 1, 14)
    assert told(day)["teacher.model"].startswith("MISSING")
    assert told(day, teacher={"model": "of-ones-own"}, judge={"model": "of-ones-own"}) == {}
    elsewhere = {"base_url": "http://127.0.0.1:8000/v1"}
    assert told(day, teacher=elsewhere, judge=elsewhere) == {}


def test_every_model_of_the_price_list_and_the_presets_is_in_the_table_with_a_source() -> None:
    known = {model for host, model in read_retirements() if host == "api.openai.com"}
    assert known >= {model for model in read_prices() if model.startswith("gpt-")}
    for preset in ("paper-7b", "paper-13b", "released", "released-captions", "substitution-llava"):
        config = load(PROJECT / f"config/{preset}.yaml")
        assert {config.teacher.model, config.judge.model} <= known
    lines = (PROJECT / "config/retired_models.tsv").read_text().splitlines()
    assert all(len(line.split("\t")) == 5 and line.split("\t")[4] for line in lines if not line.startswith("#"))


def test_doctor_ends_with_an_error_over_a_retired_judge(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    judge = f"{{base_url: '{OPENAI}', model: gpt-4-0314, api_key_variable: null}}"
    preset.write_text(f"base: {PROJECT / 'config/config.yaml'}\njudge: {judge}\n")
    ended = run([str(BIN / "s4v"), "doctor", "--config", str(preset)], tmp_path, ENVIRONMENT)
    (line,) = (line for line in ended.stdout.splitlines() if "judge.model" in line)
    assert ended.returncode == 1 and line.startswith("MISSING") and "2026-03-26" in line


def test_a_benchmark_that_lacks_a_file_or_an_image_is_named_before_a_model_answers(smoke: Path, tmp_path: Path) -> None:
    root = copy_of(smoke, tmp_path / "run") / "data/eval"

    def lines() -> dict[str, str]:
        config = load(PROJECT / "config/paper-7b.yaml", {"benchmarks": {"root": str(root)}})
        return {finding.what: str(finding) for finding in benchmark_findings(config)}

    whole = lines()
    assert len(whole) >= 12 and all(line.startswith("ok") for line in whole.values()), whole
    assert "12 questions (the official split has 12,578), images: all there" in whole["benchmark gqa"]
    gone = sorted((root / "gqa").rglob("*.jpg"))[0]
    gone.unlink()
    (root / "vizwiz/val.json").unlink()
    table = next((root / "mmbench").glob("*.tsv"))
    table.write_text("index\tquestion\nno number\tWhat?\n")
    lacking = {what: line for what, line in lines().items() if line.startswith("MISSING")}
    assert set(lacking) == {"benchmark gqa", "benchmark vizwiz", "benchmark mmbench"}
    assert "1 of " in lacking["benchmark gqa"] and f"such as {gone}" in lacking["benchmark gqa"]
    assert "it comes from " in lacking["benchmark vizwiz"] and table.name in lacking["benchmark mmbench"]


def test_of_the_synthetic_world_nothing_has_to_be_there() -> None:
    assert list(benchmark_findings(load(PROJECT / "config/config.yaml"))) == []
