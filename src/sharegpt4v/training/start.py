"""What a training begins with: a checkpoint, read once by each process straight to where its weights live.

What one of N processes holds of each parameter between the passes of a step, in bytes, on its device and the host:

    engine                              frozen   trained, device   trained, host
    torch (float32, or autocast)             4                16               0
    DeepSpeed, bfloat16: ZeRO-2              2         2 + 16 / N               0
    ZeRO-2, the optimiser on the host        2                 2          22 / N
    ZeRO-3                               2 / N            18 / N               0
    ZeRO-3, the optimiser on the host    2 / N             2 / N          20 / N

A trained one has its weight, a gradient (4), AdamW's moments (8) and, by DeepSpeed, a float32 weight (4). On the host
ZeRO-2 keeps a bfloat16 copy (2) and ZeRO-2 and ZeRO-3 a second gradient (4). While ZeRO-3 steps on the device, it
copies the gradients of 10^9 parameters of a process's part at most (4 each). Buffers, gathered weights and autocast's
copies come on top. Those of DeepSpeed were counted in two processes on a CPU, where device and host are one: which of
them a tensor is on is read from DeepSpeed 0.19's source.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.folders import new_folder
from sharegpt4v.models.family import Family
from sharegpt4v.training.zero import parts_of_models, uses_deepspeed

if TYPE_CHECKING:
    from sharegpt4v.config.base_models import Projector
    from sharegpt4v.config.compute import Compute
    from sharegpt4v.config.training import Recipe
    from sharegpt4v.training.ranks import Ranks


def joined(state: Path, family: Family, parts: tuple[Path, Path], projector: Projector, seed: int) -> Path:
    """Return the checkpoint of a tower and a language model in the folder `state`, which is made unless it is there."""
    folder = state / "joined"
    if not folder.exists():
        with new_folder(folder) as unfinished:
            family.join(*parts, projector, seed, unfinished)
    return folder


def load_start(
    family: Family, folder: Path, device: torch.device, recipe: Recipe, compute: Compute, ranks: Ranks
) -> tuple[Any, Any]:
    """Load the checkpoint `folder` as (model, processor), in the precision that its steps are taken in.

    torch's engine takes them with float32 weights, DeepSpeed's with those of the recipe's precision: it makes the
    float32 ones itself, each process its part. Under ZeRO-3 so are the weights here.
    """
    half = uses_deepspeed(recipe, compute, ranks) and recipe.precision == "bfloat16"
    with parts_of_models(recipe, compute, ranks):
        model, processor = family.load(folder, device, torch.bfloat16 if half else torch.float32)
    return model.to(device), processor
