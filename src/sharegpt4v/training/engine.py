"""What takes the steps of a training and keeps its state: torch for one process, DeepSpeed for several.

Several processes each take a part of every batch. A part's loss is its share of the mean over the tokens of the whole
batch, so the sum of their gradients is the gradient of one process with the whole batch, and so are the steps.
DeepSpeed divides gradients and moments among them (ZeRO-2; the paper used ZeRO-3, which also divides the weights and
takes the same steps). On CPUs this runs over gloo, and is tested there with two processes. On GPUs it would run over
NCCL and in bfloat16, which nobody has tried yet.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically, read_json, write_json
from sharegpt4v.models.family import family_of
from sharegpt4v.training.loss import Loss, Pixels, loss_of
from sharegpt4v.training.packing import Batch
from sharegpt4v.training.ranks import Ranks

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe

Part = tuple[Batch, Pixels | None]
"""Rows that go through the model at once, and the pixels of their images."""


class Engine(Protocol):
    """Takes steps; saves and restores what is needed to go on."""

    def step(self, parts: Iterable[Part], factor: float) -> float:
        """Take one step from the parts of a batch that are this process's, at `factor` times the learning rates.

        Their gradients are added up; returned is what they add to the loss of the batch.
        """

    def save(self, step: int) -> None:
        """Put the state after `step` finished steps on disk; a kill leaves either the older state or this one."""

    def load(self) -> int:
        """Restore the state when there is one; return the number of finished steps."""


def engine_for(model: Any, recipe: Recipe, work: Path, ranks: Ranks) -> Engine:
    """Return what trains `model` in place, with its state in the folder `work`."""
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe), betas=(0.9, recipe.adam_beta2), eps=1e-8)
    if ranks.count == 1:
        return TorchEngine(model, optimiser, recipe, work)
    return DeepSpeedEngine(model, optimiser, recipe, work, ranks)


def parameter_groups(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Trainable parameters by learning rate (tower, projector, rest) and weight decay.

    As in the released code, biases and layer norms have no decay, and Llama's RMS norms have.
    """
    family, rate = family_of(model), recipe.learning_rate
    rates = {
        "tower": recipe.vision_learning_rate or rate,
        "projector": recipe.projector_learning_rate or rate,
        "llm": rate,
    }
    layer_norms = {name for name, module in model.named_modules() if isinstance(module, torch.nn.LayerNorm)}
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = rates[family.part_of(name) if family else "llm"]
        decays = "bias" not in name and name.rpartition(".")[0] not in layer_norms
        decay = recipe.weight_decay if decays else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "initial_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


class TorchEngine:
    """One process: the state is one file of weights, optimiser moments and the number of finished steps."""

    def __init__(self, model: Any, optimiser: torch.optim.Optimizer, recipe: Recipe, work: Path) -> None:
        self.model, self.optimiser, self.recipe, self.path = model, optimiser, recipe, work / "state.pt"

    def step(self, parts: Iterable[Part], factor: float) -> float:
        _set_rates(self.optimiser.param_groups, factor)
        total = 0.0
        for batch, pixels in parts:
            # For each forward by itself: within one context autocast keeps its copies of the weights, step after step.
            in_half = self.recipe.precision == "bfloat16"
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=in_half):
                loss = loss_of(self.model, batch, pixels)
            loss.backward()
            total += loss.item()
        if self.recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return total

    def save(self, step: int) -> None:
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        with open_atomically(self.path) as file:
            torch.save({"step": step, "model": trained, "optimiser": self.optimiser.state_dict()}, file)

    def load(self) -> int:
        if not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, weights_only=True)
            self.model.load_state_dict(state["model"], strict=False)
            self.optimiser.load_state_dict(state["optimiser"])
            return int(state["step"])
        except Exception as error:  # torch raises whatever comes up in a file that is not as it expects
            raise UserError(f"{self.path}: not the state of this training; delete it to begin anew") from error


class DeepSpeedEngine:
    """One of several processes: the state is a folder with a part from each, and a file that names it once complete.

    The parts fit as many processes as wrote them: with another number a training that is under way begins anew.
    """

    def __init__(self, model: Any, optimiser: torch.optim.Optimizer, recipe: Recipe, work: Path, ranks: Ranks) -> None:
        deepspeed = _deepspeed()
        self.ranks, self.folder = ranks, work / f"state-of-{ranks.count}"
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
        _set_rates(self.engine.optimizer.param_groups, factor)
        total, left = 0.0, list(parts)
        while left:
            batch, pixels = left.pop(0)
            self.engine.set_gradient_accumulation_boundary(not left)
            loss = self.engine(batch, pixels)
            self.engine.backward(loss * self.ranks.count)  # DeepSpeed takes the mean of the gradients, not their sum
            self.engine.step()
            total += loss.item()
        return total

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


def _set_rates(groups: list[dict[str, Any]], factor: float) -> None:
    for group in groups:
        group["lr"] = group["initial_lr"] * factor


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
