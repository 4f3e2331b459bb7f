"""The presets, and how files become a config."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import ValidationError
from ruamel.yaml import YAML

from conftest import PROJECT
from presets import (
    CONFIG,
    Preset,
    complaints,
    preset,  # noqa: F401  (fixtures)
)
from sharegpt4v.catalogues.benchmarks import read_catalogue as read_benchmarks
from sharegpt4v.catalogues.sources import read_catalogue as read_sources
from sharegpt4v.config import load, reference
from sharegpt4v.config.benchmarks import BenchmarkName
from sharegpt4v.config.wording import schema

GOLDEN = PROJECT / "tests/golden" / "presets"
PRESETS = sorted(CONFIG.glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_of_the_project_are_right(path: Path) -> None:
    assert load(path).name == ("mini" if path.stem == "config" else path.stem)
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_resolve_to_what_they_always_did(path: Path) -> None:
    """So that no change of a default, which all presets share, changes the paper or the miniature unnoticed."""
    resolved = json.dumps(load(path).model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    assert resolved == (GOLDEN / f"{path.stem}.json").read_text(encoding="utf-8"), "if it is meant, write it there"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_repeat_nothing(path: Path, tmp_path: Path) -> None:
    written = YAML(typ="safe").load(path)
    below = tmp_path / "below.yaml"
    base = f"base: {CONFIG / written.pop('base')}" if "base" in written else ""
    below.write_text(f"{base}\nname: below\n", encoding="utf-8")
    assert list(repeated(written, load(below).model_dump(mode="json"))) == []


def repeated(above: dict[str, Any], below: dict[str, Any], place: str = "") -> Iterator[str]:
    """Yield the keys of a preset that say what holds without them."""
    for key in above.keys() & below.keys():
        if above[key] == below[key]:
            yield place + key
        elif isinstance(above[key], dict) and isinstance(below[key], dict):
            yield from repeated(above[key], below[key], f"{place}{key}.")


def test_the_paper_is_what_no_preset_says() -> None:
    # The engine is what writes the paper's captions here, not what they are.
    assert YAML(typ="safe").load(CONFIG / "paper-7b.yaml") == {"name": "paper-7b", "captions": {"engine": "vllm"}}
    for name in ("paper-7b", "paper-13b", "released", "released-captions", "substitution-llava"):
        assert "base" not in YAML(typ="safe").load(CONFIG / f"{name}.yaml")


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_sources_are_in_their_catalogue(path: Path) -> None:
    sources = load(path).sources
    assert set(sources.use) <= set(read_sources(CONFIG.parent / sources.catalogue))


def test_benchmarks_are_those_of_the_catalogue() -> None:
    assert get_args(BenchmarkName) == tuple(read_benchmarks(CONFIG / "benchmarks.tsv"))


def test_schema_and_reference_page_follow_the_model() -> None:
    assert (CONFIG / "schema.json").read_text(encoding="utf-8") == reference.schema_text(), reference.COMMAND
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page_text(), reference.COMMAND


def test_drift_is_reported_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "SCHEMA", tmp_path / "schema.json")
    monkeypatch.setattr(reference, "PAGE", tmp_path / "config.md")
    (tmp_path / "schema.json").write_text("{}\n", encoding="utf-8")
    assert reference.main(["--check"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == (
        "schema.json differs from the model in src/sharegpt4v/config; run: python -m sharegpt4v.config.reference"
    )
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == "{}\n"
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0


def test_check_runs_as_a_command() -> None:
    command = [sys.executable, "-m", "sharegpt4v.config.reference", "--check"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 0


def test_every_key_is_described() -> None:
    for name, part in {"Config": schema(), **schema()["$defs"]}.items():
        for key, node in part["properties"].items():
            assert node.get("description", "").endswith((".", "page.")), f"{name}.{key}"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_resolved_config_reads_back_the_same(path: Path, suffix: str, tmp_path: Path) -> None:
    config = load(path)
    values = config.model_dump(mode="json")
    copy = tmp_path / f"resolved.{suffix}"
    copy.write_text(json.dumps(values) if suffix == "json" else yaml.safe_dump(values), encoding="utf-8")
    assert load(copy) == config


def test_a_config_cannot_be_changed() -> None:
    config = load(CONFIG / "config.yaml")
    with pytest.raises(ValidationError):
        config.seed = 1


def test_mappings_merge_and_lists_replace(preset: Preset) -> None:
    config = load(preset("teacher:", "  captions: {coco: 950}", "captions:", "  sources: [coco]", "name: other"))
    assert config.teacher.captions == {**load(CONFIG / "config.yaml").teacher.captions, "coco": 950}
    assert config.captions.sources == ("coco",)
    assert config.name == "other"
    assert config.teacher.model == "mini-teacher"


def test_what_no_file_says_is_the_papers_also_within_a_section(preset: Preset) -> None:
    config = load(preset("name: mine", "finetuning: {epochs: 2}", "compute: {nodes: 4}", base=False))
    paper = load(CONFIG / "paper-7b.yaml")
    assert config.finetuning == paper.finetuning.model_copy(update={"epochs": 2.0})
    assert config.compute == paper.compute.model_copy(update={"nodes": 4})
    assert complaints(preset("name: mine", "base_models: {vision_tower: {heads: 5}}", base=False)) == [
        "config/my.yaml:2: base_models.vision_tower.heads is 5; expected a divisor of hidden_size, 1024"
    ]
    path = preset("name: mine", "base_models: {vision_tower: {layers: 8}}", base=False)
    assert complaints(path)[0].startswith("default: captioner.recipe.tune_vit_from_layer is 12; expected at most 8")


def test_a_preset_may_build_on_a_preset_and_take_a_section_away(preset: Preset) -> None:
    preset("seed: 5", "name: middle", name="middle.yaml")
    endpoint = "{base_url: 'http://127.0.0.1:8000/v1'}"
    top = preset("base: middle.yaml", "mini: null", f"teacher: {endpoint}", f"judge: {endpoint}", base=False)
    config = load(top)
    assert (config.seed, config.name, config.mini) == (5, "middle", None)


def test_numbers_and_truth_values_are_read_as_editors_read_them(preset: Preset) -> None:
    assert load(preset("finetuning: {learning_rate: 2e-5}")).finetuning.learning_rate == 2e-5
    config = load(preset("seed: 010", "name: no"))
    assert (config.seed, config.name) == (10, "no")  # 8 and false to YAML 1.1
    assert complaints(preset("tracking:", "  enabled: yes")) == [
        "config/my.yaml:3: tracking.enabled is 'yes'; expected true or false"
    ]
    assert complaints(preset("seed: '3'")) == [
        "config/my.yaml:2: seed is '3'; expected a whole number between 0 and 4294967295"
    ]


def test_aliases_share_values(preset: Preset) -> None:
    config = load(preset("mini: {questions_per_benchmark: &many 7}", "benchmarks: {batch_size: *many}"))
    assert config.benchmarks.batch_size == 7


def test_overrides_come_last(preset: Preset) -> None:
    path = preset("seed: 5", "teacher:", "  temperature: 0.5")
    config = load(path, {"seed": 3, "teacher": {"temperature": "1e-1"}, "captions": {"sources": ["coco"]}})
    assert (config.seed, config.teacher.temperature, config.captions.sources) == (3, 0.1, ("coco",))
    assert complaints(path, {"teacher": {"temperature": "hot"}, "sead": 1}) == [
        "command line: teacher.temperature is 'hot'; expected a number between 0 and 2",
        "command line: sead: unknown key; did you mean 'seed'?",
    ]
