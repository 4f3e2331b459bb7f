"""One process that trains: steps by torch alone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.training.engine import Part
from sharegpt4v.training.loss import loss_of
from sharegpt4v.training.optimiser import set_rates
from sharegpt4v.training.state import Fragment

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe


class TorchEngine:
    """One process, which has all weights and moments."""

    def __init__(self, model: Any, optimiser: torch.optim.Optimizer, recipe: Recipe) -> None:
        self.model, self.optimiser, self.recipe = model, optimiser, recipe

    def step(self, parts: Iterable[Part], factor: float) -> float:
        set_rates(self.optimiser.param_groups, factor)
        total = 0.0
        for batch, pixels in parts:
            # For each forward by itself, and without copies kept: no weight is used twice in one.
            in_half = self.recipe.precision == "bfloat16"
            with torch.autocast(self.model.device.type, torch.bfloat16, in_half, cache_enabled=False):
                loss = loss_of(self.model, batch, pixels)
            loss.backward()
            total += loss.item()
        if self.recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return total

    def finish(self) -> None:
        """Nothing is to be done: the model is whole all the time."""

    def fragments(self) -> list[Fragment]:
        trained = [(name, one) for name, one in self.model.named_parameters() if one.requires_grad]
        return [Fragment(name, 0, one.numel(), one) for name, one in trained]

    def restoring(self) -> AbstractContextManager[None]:
        return nullcontext()  # the weights are the model's own
