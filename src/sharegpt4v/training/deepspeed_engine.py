"""Several processes that train one model together: steps by DeepSpeed.

DeepSpeed divides gradients and moments among them (ZeRO-2; the paper used ZeRO-3, which also divides the weights and
takes the same steps). On CPUs this runs over gloo, and is tested there with two processes. On GPUs it would run over
NCCL and in bfloat16, which nobody has tried yet.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.errors import UserError
from sharegpt4v.training.engine import Part
from sharegpt4v.training.loss import Loss
from sharegpt4v.training.optimiser import set_rates
from sharegpt4v.training.ranks import Ranks
from sharegpt4v.training.state import Fragment
from sharegpt4v.training.zero_state import restoring_zero, zero_fragments

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe


class DeepSpeedEngine:
    """One of several processes, which has a part of the moments."""

    def __init__(self, model: Any, optimiser: torch.optim.Optimizer, recipe: Recipe, ranks: Ranks) -> None:
        deepspeed = _deepspeed()
        self.model, self.ranks, self.optimiser = model, ranks, optimiser
        settings = {
            "train_micro_batch_size_per_gpu": 1,  # it only counts by this
            "gradient_clipping": recipe.gradient_clip or 0.0,
            "bf16": {"enabled": recipe.precision == "bfloat16"},
            "zero_optimization": {"stage": 2},
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
        }
        self.engine = deepspeed.initialize(model=Loss(model), optimizer=optimiser, config=settings)[0]

    def step(self, parts: Iterable[Part], factor: float) -> float:
        set_rates(self.engine.optimizer.param_groups, factor)
        total, left = 0.0, list(parts)
        while left:
            batch, pixels = left.pop(0)
            self.engine.set_gradient_accumulation_boundary(not left)
            loss = self.engine(batch, pixels)
            self.engine.backward(loss * self.ranks.count)  # DeepSpeed takes the mean of the gradients, not their sum
            self.engine.step()
            total += loss.item()
        return total

    def fragments(self) -> list[Fragment]:
        return zero_fragments(self.model, self.engine.optimizer)

    def restoring(self) -> AbstractContextManager[None]:
        return restoring_zero(self.engine.optimizer)


def _deepspeed() -> Any:
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    os.environ.setdefault("DEEPSPEED_LOG_LEVEL", "error")
    try:
        import deepspeed
        import deepspeed.ops
    except ImportError:
        raise UserError("deepspeed is not installed; compute asks for several processes, which need it") from None
    # On CPUs DeepSpeed would compile an operator of its own for messages within a node; gloo does without.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed
