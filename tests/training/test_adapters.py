"""Adapters learn in place of the language model, and the checkpoint has them merged; LoRA and QLoRA."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sharegpt4v.config.compute import SINGLE_PROCESS
from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError
from sharegpt4v.lifetime import Stopped
from sharegpt4v.models.building import load_llava
from sharegpt4v.models.family import family_named
from sharegpt4v.training import run
from sharegpt4v.training.adapters import add_adapters, merge_adapters, seed_dropout
from sharegpt4v.training.engines import engine_for
from sharegpt4v.training.ranks import Ranks
from small_training import RECIPE, World, train, weights, world  # noqa: F401  (a fixture)
from tiny_llava import write_llava

LORA: dict[str, Any] = {"rank": 4, "alpha": 8, "dropout": 0.1}
QUANTISED = LORA | {"quantised": True}
LLAVA = family_named("llava")


@pytest.mark.parametrize("lora", [LORA, QUANTISED])
def test_only_adapters_learn_of_the_language_model(lora: dict[str, Any], world: World, tmp_path: Path) -> None:
    start = write_llava(tmp_path)
    before = weights(start)
    train(start, world[1], world, tmp_path / "out", lora=lora, tune_vit_from_layer=1, epochs=4, learning_rate=5e-3)
    after = weights(tmp_path / "out")  # an ordinary folder: names and shapes are those of any other
    changed = {name for name in before if not before[name].equal(after[name])}
    assert {LLAVA.part_of(name) for name in changed} == {"tower", "projector", "llm"}
    llm = {name for name in changed if LLAVA.part_of(name) == "llm"}
    assert len(llm) == 2 * 7 and all("_proj.weight" in name for name in llm)
    for name in llm:
        rank = torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-4)
        assert rank == 4 or lora is QUANTISED, name  # in 4 bits all of a layer changes
    losses = [json.loads(line)["loss"] for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.parametrize("lora", [LORA, QUANTISED])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_merged_model_computes_what_the_trained_one_did(
    lora: dict[str, Any], precision: str, tmp_path: Path
) -> None:
    """peft's own forward, and bitsandbytes' own, are the reference."""
    model, _ = load_llava(write_llava(tmp_path, width=64))
    names = set(model.state_dict())
    LLAVA.set_trainable(model, llm=True, projector=False, vit_from_layer=None)
    recipe = Recipe(**(RECIPE | {"lora": lora, "precision": precision}))
    add_adapters(model, LLAVA, recipe, seed=0)
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    assert trained and all("lora_" in name and one.dtype == torch.float32 for name, one in trained.items())
    frozen = [one.dtype for name, one in model.named_parameters() if name.endswith("base_layer.weight")]
    assert set(frozen) == {torch.uint8 if lora is QUANTISED else getattr(torch, precision)}
    model.eval()
    ids = torch.arange(5, 25)[None]
    in_half = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)
    with torch.no_grad(), in_half:
        without = model(input_ids=ids, use_cache=False).logits
        torch.manual_seed(16)  # two ways to round in half precision are 0.02 to 0.05 apart, depending on the draw
        for one in trained.values():
            torch.nn.init.normal_(one, std=0.1)
        with_adapters = model(input_ids=ids, use_cache=False).logits
        merge_adapters(model)
        merged = model(input_ids=ids, use_cache=False).logits
    assert set(model.state_dict()) == names
    apart = (merged - with_adapters).norm() / with_adapters.norm()
    assert apart < (1e-5 if precision == "float32" else 0.03)
    assert (without - with_adapters).norm() / with_adapters.norm() > 0.5  # what an adapter that is lost would be apart


@pytest.mark.parametrize("lora", [LORA, QUANTISED])
def test_a_stopped_training_ends_with_the_same_bytes(
    lora: dict[str, Any], world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = write_llava(tmp_path)
    recipe: dict[str, Any] = {"lora": lora, "epochs": 2}
    train(start, world[1], world, tmp_path / "whole", **recipe)
    handlers: list[Any] = []

    def seed_and_stop(recipe: Recipe, seed: int, step: int, rank: int) -> None:
        if step == 2:
            handlers[-1](signal.SIGTERM, None)
        seed_dropout(recipe, seed, step, rank)

    with monkeypatch.context() as patch:
        patch.setattr(run, "end_on_signals", handlers.append)
        patch.setattr(run, "seed_dropout", seed_and_stop)
        with pytest.raises(Stopped):
            train(start, world[1], world, tmp_path / "cut", **recipe)
    torch.manual_seed(99)
    train(start, world[1], world, tmp_path / "cut", **recipe)
    for name in ("model.safetensors", "metrics.jsonl", "config.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_what_cannot_run_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = load_llava(write_llava(tmp_path))
    for library, lora, said in (
        ("bitsandbytes", QUANTISED, "lora.quantised is true, and bitsandbytes cannot be imported"),
        ("peft", LORA, "lora is set, and peft cannot be imported"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            with pytest.raises(UserError, match=said):
                add_adapters(model, LLAVA, Recipe(**(RECIPE | {"lora": lora})), seed=0)
    with pytest.raises(UserError, match="lora is for one process"):
        engine_for(model, Recipe(**(RECIPE | {"lora": LORA})), SINGLE_PROCESS, Ranks(0, 2))
