"""Which engine trains a model, see `engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharegpt4v.training.deepspeed_engine import DeepSpeedEngine
from sharegpt4v.training.engine import Engine
from sharegpt4v.training.optimiser import optimiser_for
from sharegpt4v.training.ranks import Ranks
from sharegpt4v.training.torch_engine import TorchEngine
from sharegpt4v.training.zero import uses_deepspeed

if TYPE_CHECKING:
    from sharegpt4v.config.compute import Compute
    from sharegpt4v.config.training import Recipe


def engine_for(model: Any, recipe: Recipe, compute: Compute, ranks: Ranks) -> Engine:
    """Return what trains `model` in place; a `UserError` if it cannot."""
    divided = uses_deepspeed(recipe, compute, ranks)
    optimiser = optimiser_for(model, recipe, compute.optimiser, offload=compute.offload_optimiser)
    if divided:
        return DeepSpeedEngine(model, optimiser, recipe, compute, ranks)
    return TorchEngine(model, optimiser, recipe)
