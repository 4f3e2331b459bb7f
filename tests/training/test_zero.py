"""Two processes by ZeRO-2 and ZeRO-3, and with the optimiser on the host, take the steps of one process by torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from resumable import fine_tune, launched, run
from safetensors.torch import load_file

from sharegpt4v.config.compute import SINGLE_PROCESS
from sharegpt4v.config.training import Recipe
from sharegpt4v.files import write_json
from sharegpt4v.models.building import load_llava
from sharegpt4v.training.engines import engine_for
from sharegpt4v.training.ranks import SINGLE_RANK
from small_training import row
from tiny_llava import write_llava, write_pictures

CASES: dict[str, dict[str, Any]] = {
    "zero-2": {"zero_stage": 2},
    "zero-3": {"zero_stage": 3, "recompute_activations": True},
    "zero-3 on the host": {"zero_stage": 3, "offload_optimiser": True},
}


def losses(model: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (model / "metrics.jsonl").read_text().splitlines()]


def test_a_model_is_the_same_however_deepspeed_divides_it(tmp_path: Path) -> None:
    """Losses and weights within 2e-4 of those of one process: sums are taken in another order."""
    pictures = write_pictures(tmp_path / "data", 12)
    rows = [*(row(image, words, words.split()[0]) for image, words in pictures.items()), row(None, "It is red.")]
    write_json(tmp_path / "rows.json", rows)
    given: Any = {"start": write_llava(tmp_path), "rows": tmp_path / "rows.json", "data": tmp_path / "data"}
    fine_tune(**given, out=tmp_path / "one", compute={})
    cases = [given | {"out": tmp_path / name, "compute": compute} for name, compute in CASES.items()]
    ended = launched(cases)
    assert ended.returncode == 0, ended.stderr[-4000:]
    expected = load_file(tmp_path / "one/model.safetensors")
    before = load_file(tmp_path / "llava/model.safetensors")
    assert any(not value.equal(before[name]) for name, value in expected.items())
    for name in CASES:
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "one"), abs=2e-4)
        found = load_file(tmp_path / name / "model.safetensors")
        assert found.keys() == expected.keys()
        assert max(float((found[key] - value).abs().max()) for key, value in expected.items()) < 2e-4, name


def test_positions_are_exact_in_bfloat16(tmp_path: Path) -> None:
    model, _ = load_llava(write_llava(tmp_path))
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    offloaded = SINGLE_PROCESS.model_copy(update={"offload_optimiser": True})
    engine_for(model, Recipe(precision="bfloat16"), offloaded, SINGLE_RANK)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    after = dict(model.named_buffers())
    assert any("inv_freq" in name for name in before)
    assert all(after[name].equal(buffer) for name, buffer in before.items())


def test_one_process_keeps_the_optimiser_on_the_host(tmp_path: Path) -> None:
    alone = run(tmp_path / "work", tmp_path / "alone")
    offloaded = {"offload_optimiser": True}
    first = run(tmp_path / "host", tmp_path / "first", 4, compute=offloaded)
    assert first + run(tmp_path / "host", tmp_path / "second", compute=offloaded) == pytest.approx(alone, abs=1e-5)
