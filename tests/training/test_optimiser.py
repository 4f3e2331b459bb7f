"""Kinds of AdamW: fused steps as plain does, 8 bits nearly so; the state of each is saved, resumed and told apart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sharegpt4v.config.compute import SINGLE_PROCESS
from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError
from sharegpt4v.models.building import load_llava
from sharegpt4v.training.engines import engine_for
from sharegpt4v.training.optimiser import optimiser_for
from sharegpt4v.training.ranks import SINGLE_RANK, Ranks
from sharegpt4v.training.saved_states import SavedStates
from small_training import World, train, weights, world  # noqa: F401  (a fixture)
from tiny_llava import write_llava

RECIPE = Recipe(learning_rate=1e-2, weight_decay=0.1)
EIGHT_BITS = SINGLE_PROCESS.model_copy(update={"optimiser": "adamw_8bit"})


def stepped(folder: Path, steps: int, plain: bool = False, **kind: Any) -> dict[str, torch.Tensor]:
    """The weights after steps along gradients that are drawn, of a kind or, `plain`, in torch's loop."""
    model, _ = load_llava(folder)
    optimiser = optimiser_for(model, RECIPE, **kind)
    for group in optimiser.param_groups if plain else ():
        group["fused"] = False
    random = torch.Generator().manual_seed(0)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random) + 1
        optimiser.step()
    return dict(model.named_parameters())


def way_apart(folder: Path, **kind: Any) -> float:
    """How far a kind ends from torch's plain AdamW, at most, as a share of the way from the start of each weight."""
    start, plain, found = stepped(folder, 0), stepped(folder, 5, plain=True), stepped(folder, 5, **kind)
    assert not kind or not all(found[name].equal(plain[name]) for name in plain)
    return max(float((found[name] - plain[name]).norm() / (plain[name] - start[name]).norm()) for name in plain)


def test_one_kernel_per_tensor_steps_as_the_plain_loop_does(tmp_path: Path) -> None:
    folder = write_llava(tmp_path, width=64)
    assert optimiser_for(load_llava(folder)[0], RECIPE).defaults["fused"]
    assert way_apart(folder) < 1e-5


def test_8_bits_step_nearly_as_plain_does(tmp_path: Path) -> None:
    assert way_apart(write_llava(tmp_path, width=64), kind="adamw_8bit") < 0.03


def test_a_training_with_8_bits_resumes_to_the_same_bytes(world: World, tmp_path: Path) -> None:
    """Also of tensors that are large enough to be kept in 8 bits."""
    start = write_llava(tmp_path, width=64)
    engine: Any = engine_for(load_llava(start)[0], RECIPE, EIGHT_BITS, SINGLE_RANK)
    random = torch.Generator().manual_seed(0)

    def step(engine: Any) -> None:
        for parameter in engine.model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random)
        engine.optimiser.step()

    for _ in range(3):
        step(engine)
    states = SavedStates(engine, tmp_path, SINGLE_RANK)
    states.save(3)
    states.finish()
    at = random.get_state()
    step(engine)
    again: Any = engine_for(load_llava(start)[0], RECIPE, EIGHT_BITS, SINGLE_RANK)
    assert SavedStates(again, tmp_path, SINGLE_RANK).load() == 3
    random.set_state(at)
    step(again)
    after = dict(engine.model.named_parameters())
    assert all(one.equal(after[name]) for name, one in again.model.named_parameters())
    assert any(one.dtype == torch.uint8 for state in again.optimiser.state.values() for one in state.values()
               if isinstance(one, torch.Tensor))  # fmt: skip
    other = engine_for(load_llava(start)[0], RECIPE, SINGLE_PROCESS, SINGLE_RANK)
    with pytest.raises(UserError, match=r"states: no .* \(saved with compute.optimiser adamw_8bit, not adamw: set it"):
        SavedStates(other, tmp_path, SINGLE_RANK).load()
    train(start, world[1], world, tmp_path / "out", EIGHT_BITS)
    assert not all(one.equal(weights(start)[name]) for name, one in weights(tmp_path / "out").items())


def test_8_bits_that_cannot_be_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_llava(write_llava(tmp_path))[0]
    with pytest.raises(UserError, match="adamw_8bit is for one process"):
        engine_for(model, RECIPE, EIGHT_BITS, Ranks(0, 2))

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"adamw_8bit, and bitsandbytes cannot be imported"):
        optimiser_for(model, RECIPE, "adamw_8bit")
