"""One process that trains: steps by torch alone, and a state that is one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically
from sharegpt4v.training.engine import Part
from sharegpt4v.training.loss import loss_of
from sharegpt4v.training.optimiser import set_rates

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe


class TorchEngine:
    """One process: the state is one file of weights, optimiser moments and the number of finished steps."""

    def __init__(self, model: Any, optimiser: torch.optim.Optimizer, recipe: Recipe, work: Path) -> None:
        self.model, self.optimiser, self.recipe, self.path = model, optimiser, recipe, work / "state.pt"

    def step(self, parts: Iterable[Part], factor: float) -> float:
        set_rates(self.optimiser.param_groups, factor)
        losses = []
        for batch, pixels in parts:
            # For each forward by itself: within one context autocast keeps its copies of the weights, step after step.
            in_half = self.recipe.precision == "bfloat16"
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=in_half):
                loss = loss_of(self.model, batch, pixels)
            loss.backward()
            losses.append(loss.detach())
        if self.recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return float(sum(torch.stack(losses).tolist()))  # read once: reading waits for the GPU

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
