"""What takes the steps of a training: torch for one process, DeepSpeed for several.

Several processes each take a part of every batch. A part's loss is its share of the mean over the tokens of the whole
batch, so the sum of their gradients is the gradient of one process with the whole batch, and so are the steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

import torch

from sharegpt4v.training.loss import Pixels
from sharegpt4v.training.packing import Batch
from sharegpt4v.training.state import Fragment

Part = tuple[Batch, Pixels | None]
"""Rows that go through the model at once, and the pixels of their images."""


class Engine(Protocol):
    """Takes steps; shows what it trains, for `saved_states` to save and restore."""

    optimiser: torch.optim.Optimizer
    """Has the moments of every `Fragment.owner`."""

    def step(self, parts: Iterable[Part], factor: float) -> float:
        """Take one step from the parts of a batch that are this process's, at `factor` times the learning rates.

        Their gradients are added up; returned is what they add to the loss of the batch.
        """

    def fragments(self) -> list[Fragment]:
        """Return what this process trains: together the processes have each element of each parameter once."""

    def restoring(self) -> AbstractContextManager[None]:
        """Return a block in which weights and moments of the fragments are set; after it the model has them too.

        Every process has to enter it.
        """

    def finish(self) -> None:
        """Make the model of the first process whole, where processes hold parts of it; it takes no more steps."""
