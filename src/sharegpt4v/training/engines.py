"""Which engine trains a model, see `engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharegpt4v.errors import UserError
from sharegpt4v.training.deepspeed_engine import DeepSpeedEngine
from sharegpt4v.training.engine import Engine
from sharegpt4v.training.optimiser import optimiser_for
from sharegpt4v.training.ranks import Ranks
from sharegpt4v.training.torch_engine import TorchEngine

if TYPE_CHECKING:
    from sharegpt4v.config.compute import Compute
    from sharegpt4v.config.training import Recipe


def engine_for(model: Any, recipe: Recipe, compute: Compute, ranks: Ranks) -> Engine:
    """Return what trains `model` in place; a `UserError` if it cannot."""
    if ranks.count > 1 and compute.optimiser == "adamw_8bit":
        raise UserError("compute.optimiser adamw_8bit is for one process; several divide the moments: set it to adamw")
    if ranks.count > 1 and recipe.lora:
        raise UserError(
            "lora is for one process, whose weights are whole; set compute.processes_per_node and nodes to 1"
        )
    optimiser = optimiser_for(model, recipe, compute.optimiser)
    if ranks.count == 1:
        return TorchEngine(model, optimiser, recipe)
    return DeepSpeedEngine(model, optimiser, recipe, ranks)
