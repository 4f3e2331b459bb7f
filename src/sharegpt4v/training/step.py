"""One optimiser step of one process by torch alone (paper section 4), which engines take and the benchmark measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.training.loss import Pixels, loss_of
from sharegpt4v.training.optimiser import set_rates

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe
    from sharegpt4v.training.packing import Batch


def take_step(
    model: Any,
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    parts: Iterable[tuple[Batch, Pixels | None]],
    factor: float,
) -> float:
    """Add up the gradients of the parts of a batch and step, at `factor` times the learning rates; return the loss.

    Weights stay in float32. In bfloat16 autocast makes a copy of each for its product. None is used twice in a pass, so
    a copy lives only as long as the backward pass needs it: with activation checkpointing, that is one layer.
    """
    set_rates(optimiser.param_groups, factor)
    in_half = recipe.precision == "bfloat16"
    losses = []
    for batch, pixels in parts:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=in_half, cache_enabled=False):
            loss = loss_of(model, batch, pixels)
        loss.backward()
        losses.append(loss.detach())
    if recipe.gradient_clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return total_of(losses)


def total_of(losses: Sequence[torch.Tensor]) -> float:
    """Add up the losses of a step's parts. They are read once, for reading waits for the GPU."""
    return float(sum(torch.stack(list(losses)).tolist()))
