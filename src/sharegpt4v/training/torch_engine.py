"""One process that trains: steps by torch alone, and a state that is one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically
from sharegpt4v.training.engine import Part
from sharegpt4v.training.optimiser import check_state
from sharegpt4v.training.step import take_step

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe


class TorchEngine:
    """One process: the state is one file of weights, optimiser moments and the number of finished steps."""

    def __init__(self, model: Any, optimiser: torch.optim.Optimizer, recipe: Recipe, work: Path) -> None:
        self.model, self.optimiser, self.recipe, self.path = model, optimiser, recipe, work / "state.pt"

    def step(self, parts: Iterable[Part], factor: float) -> float:
        return take_step(self.model, self.optimiser, self.recipe, parts, factor)

    def save(self, step: int) -> None:
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        with open_atomically(self.path) as file:
            torch.save({"step": step, "model": trained, "optimiser": self.optimiser.state_dict()}, file)

    def load(self) -> int:
        if not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, weights_only=True)
            check_state(state["optimiser"], self.optimiser)
            self.model.load_state_dict(state["model"], strict=False)
            self.optimiser.load_state_dict(state["optimiser"])
            return int(state["step"])
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None
        except Exception as error:  # torch raises whatever comes up in a file that is not as it expects
            raise UserError(f"{self.path}: not the state of this training; delete it to begin anew") from error
