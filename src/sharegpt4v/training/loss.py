"""The loss of a packed batch, or of one process's part of it (paper sections 4.2 and 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sharegpt4v.models.family import family_of
from sharegpt4v.models.templates import IGNORED
from sharegpt4v.training.attention import one_row
from sharegpt4v.training.packing import Batch

Pixels = Mapping[str, torch.Tensor]
"""What a model takes of the images of a batch, see `models.family.Images`."""


class Loss(torch.nn.Module):
    """A model whose forward is its loss. DeepSpeed follows the calls of one module."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, pixels: Pixels | None) -> torch.Tensor:
        """Return `loss_of` the model."""
        return loss_of(self.model, batch, pixels)


def loss_of(model: Any, batch: Batch, pixels: Pixels | None) -> torch.Tensor:
    """Cross-entropy of the supervised tokens, each times its weight: what these rows add to the loss of the step.

    The vocabulary is only scored at supervised positions: most of a row is image and prompt.
    """
    batch = one_row(model, batch)
    if family := family_of(model):
        hidden = family.hidden(model, batch.ids, batch.positions, pixels)
    else:  # a language model alone
        hidden = model.model(input_ids=batch.ids, position_ids=batch.positions, use_cache=False).last_hidden_state
    # No row begins with a supervised label, so the token before one is of its row. Looked up once, for that waits for
    # the GPU.
    supervised = (batch.labels.flatten() != IGNORED).nonzero().flatten()
    logits = model.lm_head(hidden.flatten(0, 1)[supervised - 1]).float()
    losses = torch.nn.functional.cross_entropy(logits, batch.labels.flatten()[supervised], reduction="none")
    return (losses * batch.weights.flatten()[supervised]).sum()
