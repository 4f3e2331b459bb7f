"""What takes the steps of a training and keeps its state: torch for one process, DeepSpeed for several.

Several processes each take a part of every batch. A part's loss is its share of the mean over the tokens of the whole
batch, so the sum of their gradients is the gradient of one process with the whole batch, and so are the steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sharegpt4v.training.loss import Pixels
from sharegpt4v.training.packing import Batch

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

    def finish(self) -> None:
        """Make the model of the first process whole, where processes hold parts of it; it takes no more steps."""
