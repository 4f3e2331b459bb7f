"""The loss of a packed batch, or of one process's part of it (paper sections 4.2 and 4.3)."""

from __future__ import annotations

from typing import Any

import torch

from sharegpt4v.models.templates import IGNORED
from sharegpt4v.training.packing import Batch


class Loss(torch.nn.Module):
    """A model whose forward is its loss. DeepSpeed follows the calls of one module."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, pixels: torch.Tensor | None) -> torch.Tensor:
        """Return `loss_of` the model."""
        return loss_of(self.model, batch, pixels)


def loss_of(model: Any, batch: Batch, pixels: torch.Tensor | None) -> torch.Tensor:
    """Cross-entropy of the learned tokens, each times its weight: what these rows add to the loss of the step.

    The vocabulary is only scored at positions that are learned from: most of a row is image and prompt.
    """
    inputs: dict[str, Any] = {"position_ids": batch.positions, "use_cache": False}
    if pixels is not None:
        inputs |= {"input_ids": batch.ids, "pixel_values": pixels.to(model.dtype)}
    elif hasattr(model.model, "vision_tower"):
        inputs["inputs_embeds"] = _beside_a_blank_image(model.model, batch.ids)
    else:
        inputs["input_ids"] = batch.ids
    hidden = model.model(**inputs).last_hidden_state[:, :-1]
    targets = batch.labels[:, 1:]
    learned = targets != IGNORED
    logits = model.lm_head(hidden[learned]).float()
    losses = torch.nn.functional.cross_entropy(logits, targets[learned], reduction="none")
    return (losses * batch.weights[:, 1:][learned]).sum()


def _beside_a_blank_image(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Embed rows without images, by way of a blank one that counts nothing.

    So every batch uses every parameter, in the same order: processes that add their gradients up have to agree on them.
    """
    embedded = model.get_input_embeddings()(ids)
    size = model.config.vision_config.image_size
    blank = torch.zeros((1, 3, size, size), dtype=model.dtype, device=ids.device)
    features = torch.cat(model.get_image_features(pixel_values=blank, return_dict=True).pooler_output)
    result: torch.Tensor = embedded + 0 * features.sum().to(embedded.dtype)
    return result
