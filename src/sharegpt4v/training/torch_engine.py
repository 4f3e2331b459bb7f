"""One process that trains: steps by torch alone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.training.engine import Part
from sharegpt4v.training.state import Fragment
from sharegpt4v.training.step import take_step

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe


class TorchEngine:
    """One process, which has all weights and moments."""

    def __init__(self, model: Any, optimiser: torch.optim.Optimizer, recipe: Recipe) -> None:
        self.model, self.optimiser, self.recipe = model, optimiser, recipe

    def step(self, parts: Iterable[Part], factor: float) -> float:
        return take_step(self.model, self.optimiser, self.recipe, parts, factor)

    def finish(self) -> None:
        """Nothing is to be done: the model is whole all the time."""

    def fragments(self) -> list[Fragment]:
        trained = [(name, one) for name, one in self.model.named_parameters() if one.requires_grad]
        return [Fragment(name, 0, one.numel(), one) for name, one in trained]

    def restoring(self) -> AbstractContextManager[None]:
        return nullcontext()  # the weights are the model's own
