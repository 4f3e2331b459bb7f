"""Several processes that train one model together: steps by DeepSpeed, and a state with a part from each.

On CPUs this runs over gloo, and is tested there with two processes. On GPUs it would run over NCCL, which nobody has
tried yet. One process trains so too when the state of its optimiser is to be on the host.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.training.engine import Part
from sharegpt4v.training.loss import Loss
from sharegpt4v.training.optimiser import set_rates
from sharegpt4v.training.ranks import Ranks
from sharegpt4v.training.zero import bucket_sizes, import_deepspeed, join_alone, make_whole, settings_of

if TYPE_CHECKING:
    from sharegpt4v.config.compute import Compute
    from sharegpt4v.config.training import Recipe


class DeepSpeedEngine:
    """One of several processes: the state is a folder with a part from each, and a file that names it once complete.

    The parts fit as many processes as wrote them: with another number a training that is under way begins anew.
    """

    def __init__(
        self, model: Any, optimiser: torch.optim.Optimizer, recipe: Recipe, compute: Compute, work: Path, ranks: Ranks
    ) -> None:
        join_alone(ranks)
        self.model, self.ranks, self.folder = model, ranks, work / f"state-of-{ranks.count}"
        settings = settings_of(recipe, compute)
        if compute.zero_stage == 3:
            settings["zero_optimization"] |= bucket_sizes(model.config.get_text_config().hidden_size)
        self.engine = import_deepspeed().initialize(model=Loss(model), optimizer=optimiser, config=settings)[0]

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

    def finish(self) -> None:
        make_whole(self.model, self.ranks.rank)

    def save(self, step: int) -> None:
        name = f"step-{step}"
        self.engine.save_checkpoint(str(self.folder), name, save_latest=False, exclude_frozen_parameters=True)
        self.ranks.all_reduce_sum(0)  # wait until every process has written its part
        if self.ranks.rank == 0:
            write_json(self.folder / "complete.json", {"step": step})
            for older in self.folder.glob("step-*"):
                if older.name != name:
                    shutil.rmtree(older)

    def load(self) -> int:
        complete = self.folder / "complete.json"
        # One process looks, since files may show on the other nodes later.
        here = read_json(complete)["step"] if self.ranks.rank == 0 and complete.exists() else 0
        step = round(self.ranks.all_reduce_sum(here)[0])
        if step:
            path, _ = self.engine.load_checkpoint(str(self.folder), f"step-{step}", load_module_strict=False)
            if path is None:
                raise UserError(f"{self.folder}/step-{step}: cannot be read; delete {self.folder} to begin anew")
        return step
