"""The optimiser of a training: AdamW (paper section 4), with a learning rate and a decay for each part of the model."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import torch

from sharegpt4v.errors import UserError, one_line
from sharegpt4v.models.family import family_of

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe


Kind = Literal["adamw", "adamw_8bit"]


def optimiser_for(
    model: torch.nn.Module, recipe: Recipe, kind: Kind = "adamw", offload: bool = False
) -> torch.optim.Optimizer:
    """Return the optimiser of the trainable parameters of `model`: 8 bytes of state for each in float32, or 2.

    Each tensor is stepped in one kernel, on a processor and on a GPU. With 8 bits, bitsandbytes keeps both moments in
    blocks that share a scale, and those of tensors below 4,096 elements in float32; `UserError` when it is not
    installed. With `offload` it is one that steps on the host.
    """
    groups = parameter_groups(model, recipe)
    settings: dict[str, Any] = {"betas": (0.9, recipe.adam_beta2), "eps": 1e-8}
    if kind == "adamw_8bit":
        optimiser: torch.optim.Optimizer = bitsandbytes("compute.optimiser is adamw_8bit").optim.AdamW8bit(
            groups, **settings
        )
        return optimiser
    if offload:
        from sharegpt4v.training.zero import host_optimiser

        return host_optimiser(groups, **settings)
    return torch.optim.AdamW(groups, **settings, fused=True)


def bitsandbytes(why: str) -> Any:
    """Return the library; a `UserError` that says `why` it is needed when it cannot be imported."""
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError as error:
        said = f"{why}, and bitsandbytes cannot be imported ({one_line(error)}); install it or change that"
        raise UserError(said) from None


def check_moments(kinds: Collection[str], optimiser: torch.optim.Optimizer) -> None:
    """Refuse moments, by their kinds, of the other kind of optimiser, which torch would take until the next step."""
    of_8_bits, saved_8_bits = type(optimiser).__module__.startswith("bitsandbytes"), "exp_avg" not in kinds
    if kinds and of_8_bits != saved_8_bits:
        names = ("adamw_8bit", "adamw") if saved_8_bits else ("adamw", "adamw_8bit")
        raise UserError("saved with compute.optimiser {}, not {}: set it back".format(*names))


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
