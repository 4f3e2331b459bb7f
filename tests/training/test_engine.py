"""The optimiser is that of the released runs: schedule, decay groups, defaults; and half precision really learns."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainingArguments, get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup
from transformers.trainer_pt_utils import get_parameter_names

from sharegpt4v.config.compute import SINGLE_PROCESS
from sharegpt4v.config.training import Recipe
from sharegpt4v.models.building import load_llava, set_trainable
from sharegpt4v.models.templates import encode, v1_text
from sharegpt4v.training.engines import engine_for
from sharegpt4v.training.optimiser import parameter_groups
from sharegpt4v.training.ranks import SINGLE_RANK
from sharegpt4v.training.run import cosine_schedule, schedule_of, train
from tiny_llava import COLOURS, SHAPES, write_llava, write_tower_and_llm

RECIPE: dict[str, Any] = {
    "learning_rate": 5e-3, "batch_size": 8, "sequence_length": 128, "template": "v1", "image_aspect_ratio": "pad",
}  # fmt: skip


@pytest.mark.parametrize(("steps", "ratio"), [(4871, 0.03), (5196, 0.03), (10, 0.03), (7, 0.5), (3, 0.0), (1, 0.03)])
def test_the_learning_rate_follows_transformers_cosine(steps: int, ratio: float) -> None:
    schedule = cosine_schedule(steps, ratio)
    warmup = TrainingArguments("out", warmup_steps=ratio, use_cpu=True).get_warmup_steps(steps)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_cosine_schedule_with_warmup(optimiser, warmup, steps)
    for step in range(steps):
        assert schedule(step) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12), step
        optimiser.step()
        theirs.step()


def test_a_constant_learning_rate_stays_where_the_warmup_ends() -> None:
    schedule = schedule_of(Recipe(schedule="constant", warmup_ratio=0.01), 5196)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_constant_schedule_with_warmup(optimiser, math.ceil(51.96))
    for step in range(60):
        assert schedule(step) == theirs.get_last_lr()[0], step
        optimiser.step()
        theirs.step()
    assert (schedule(0), schedule(51) < 1, schedule(52), schedule(5195)) == (0, True, 1, 1)


def test_adam_remembers_squared_gradients_as_long_as_the_recipe_says() -> None:
    model = torch.nn.Linear(1, 1)
    model.config = SimpleNamespace(model_type="llama")  # type: ignore[assignment]
    for recipe, beta2 in ((Recipe(), 0.999), (Recipe(adam_beta2=0.95), 0.95)):
        engine: Any = engine_for(model, recipe, SINGLE_PROCESS, SINGLE_RANK)
        assert {group["betas"] for group in engine.optimiser.param_groups} == {(0.9, beta2)}


def test_the_optimiser_has_the_trainers_defaults_and_decay_groups(tmp_path: Path) -> None:
    model, _ = load_llava(write_llava(tmp_path))
    set_trainable(model, llm=True, projector=True, vit_from_layer=0)
    recipe = Recipe(**RECIPE, weight_decay=0.1, vision_learning_rate=1e-4)
    engine: Any = engine_for(model, recipe, SINGLE_PROCESS, SINGLE_RANK)
    defaults = inspect.signature(TrainingArguments).parameters
    betas = (defaults["adam_beta1"].default, defaults["adam_beta2"].default)
    for group in engine.optimiser.param_groups:
        assert (group["betas"], group["eps"]) == (betas, defaults["adam_epsilon"].default)
    # The released trainer: no decay on layer norms and biases, named by transformers' own function.
    names = {name for name in get_parameter_names(model, [torch.nn.LayerNorm]) if "bias" not in name}
    expected = {
        name: (1e-4 if "vision_tower" in name else 5e-3, 0.1 if name in names else 0.0)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    found = {id(p): (g["lr"], g["weight_decay"]) for g in parameter_groups(model, recipe) for p in g["params"]}
    assert {name: found[id(p)] for name, p in model.named_parameters() if id(p) in found} == expected
    assert 0.1 in {decay for _, decay in expected.values()} and any("norm.weight" in name for name in names)


def test_half_precision_learns_as_full_precision_does(tmp_path: Path) -> None:
    """On the CPU's bfloat16; the losses agree within 0.05 at the end, where float32 has halved its own."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    _, llm = write_tower_and_llm(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(llm)
    samples = []
    for colour in COLOURS:
        for shape in SHAPES:
            turns = [{"from": "human", "value": f"A {shape}?"}, {"from": "gpt", "value": f"A {colour} {shape}"}]
            samples.append(encode(tokenizer, *v1_text(turns, has_image=False), 1))
    losses: dict[str, list[float]] = {}
    for precision in ("float32", "bfloat16"):
        model = LlamaForCausalLM.from_pretrained(llm, dtype=torch.float32)
        rows: list[dict[str, float]] = []
        recipe = Recipe(**RECIPE, precision=precision, epochs=40)
        train(model, samples, recipe, 0, tmp_path / precision, precision, record=rows.append)
        losses[precision] = [row["loss"] for row in rows]
        assert next(model.parameters()).dtype == torch.float32
    full, half = losses["float32"], losses["bfloat16"]
    assert full[-1] < 0.5 * full[0] and half[-1] == pytest.approx(full[-1], abs=0.05)
    assert half[0] != full[0]  # it was computed in half precision
