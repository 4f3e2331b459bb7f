"""The optimiser of a training: AdamW (paper section 4), with a learning rate and a decay for each part of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.models.family import family_of
from sharegpt4v.training.zero import host_optimiser

if TYPE_CHECKING:
    from sharegpt4v.config.compute import Compute
    from sharegpt4v.config.training import Recipe


def optimiser_for(model: torch.nn.Module, recipe: Recipe, compute: Compute) -> torch.optim.Optimizer:
    """Return the optimiser of the trainable parameters of `model`."""
    groups = parameter_groups(model, recipe)
    settings: dict[str, Any] = {"betas": (0.9, recipe.adam_beta2), "eps": 1e-8}
    if compute.offload_optimiser:
        return host_optimiser(groups, **settings)
    return torch.optim.AdamW(groups, **settings)


def parameter_groups(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Trainable parameters by learning rate (tower, projector, rest) and weight decay.

    As in the released code, biases and layer norms have no decay, and Llama's RMS norms have.
    """
    family, rate = family_of(model), recipe.learning_rate
    rates = {
        "tower": recipe.vision_learning_rate or rate,
        "projector": recipe.projector_learning_rate or rate,
        "llm": rate,
    }
    layer_norms = {name for name, module in model.named_modules() if isinstance(module, torch.nn.LayerNorm)}
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = rates[family.part_of(name) if family else "llm"]
        decays = "bias" not in name and name.rpartition(".")[0] not in layer_norms
        decay = recipe.weight_decay if decays else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "initial_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def set_rates(groups: list[dict[str, Any]], factor: float) -> None:
    """Set the learning rates to `factor` times those that the groups began with."""
    for group in groups:
        group["lr"] = group["initial_lr"] * factor
