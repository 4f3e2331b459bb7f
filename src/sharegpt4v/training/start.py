"""What a training begins with: a checkpoint, read once by each process straight to where its weights live.

What a process holds of each parameter in a training, in bytes, of N processes (measured by `benchmarks/...`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.models.family import Family
from sharegpt4v.training.zero import parts_of_models, uses_deepspeed

if TYPE_CHECKING:
    from sharegpt4v.config.compute import Compute
    from sharegpt4v.config.training import Recipe
    from sharegpt4v.training.ranks import Ranks


def load_start(
    family: Family, folder: Path, device: torch.device, recipe: Recipe, compute: Compute, ranks: Ranks
) -> tuple[Any, Any]:
    """Load the checkpoint `folder` as (model, processor), in the precision that its steps are taken in.

    torch's engine takes them with float32 weights, DeepSpeed's with those of the recipe's precision: it makes the
    float32 ones itself, each process its part. Under ZeRO-3 so are the weights here.
    """
    divided = uses_deepspeed(recipe, compute, ranks)
    with parts_of_models(recipe, compute, ranks):
        model, processor = family.load(folder, device)
    if divided and compute.zero_stage == 3:
        return model.to(device), processor
    half = divided and recipe.precision == "bfloat16"
    for parameter in model.parameters():  # not the buffers: the frequencies of positions would be rounded
        parameter.data = parameter.data.to(device, torch.bfloat16 if half else torch.float32)
    return model.to(device), processor
