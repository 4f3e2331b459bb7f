"""Several processes that train one model together: steps by DeepSpeed.

On CPUs this runs over gloo, and is tested there with two processes. On GPUs it would run over NCCL, which nobody has
tried yet. One process trains so too when the state of its optimiser is to be on the host.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.training.engine import Part
from sharegpt4v.training.loss import Loss
from sharegpt4v.training.optimiser import set_rates
from sharegpt4v.training.ranks import Ranks
from sharegpt4v.training.state import Fragment
from sharegpt4v.training.step import total_of
from sharegpt4v.training.zero import bucket_sizes, import_deepspeed, join_alone, make_whole, settings_of
from sharegpt4v.training.zero_state import restoring_zero, zero_fragments

if TYPE_CHECKING:
    from sharegpt4v.config.compute import Compute
    from sharegpt4v.config.training import Recipe


class DeepSpeedEngine:
    """One of several processes, which has a part of the moments."""

    def __init__(
        self, model: Any, optimiser: torch.optim.Optimizer, recipe: Recipe, compute: Compute, ranks: Ranks
    ) -> None:
        join_alone(ranks)
        self.model, self.ranks, self.optimiser = model, ranks, optimiser
        settings = settings_of(recipe, compute)
        if compute.zero_stage == 3:
            settings["zero_optimization"] |= bucket_sizes(model.config.get_text_config().hidden_size)
        self.engine = import_deepspeed().initialize(model=Loss(model), optimizer=optimiser, config=settings)[0]

    def step(self, parts: Iterable[Part], factor: float) -> float:
        set_rates(self.engine.optimizer.param_groups, factor)
        losses, left = [], iter(parts)
        part = next(left, None)
        while part:
            (batch, pixels), part = part, next(left, None)
            self.engine.set_gradient_accumulation_boundary(part is None)
            loss = self.engine(batch, pixels)
            self.engine.backward(loss * self.ranks.count)  # DeepSpeed takes the mean of the gradients, not their sum
            self.engine.step()
            losses.append(loss.detach())
        return total_of(losses)

    def fragments(self) -> list[Fragment]:
        return zero_fragments(self.model, self.engine.optimizer)

    def restoring(self) -> AbstractContextManager[None]:
        return restoring_zero(self.engine.optimizer)

    def finish(self) -> None:
        make_whole(self.model, self.ranks.rank)
