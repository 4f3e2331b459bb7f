"""Batches of a family with a `generate` of its own: all rows begin together, and end with the longest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharegpt4v.models.continuous_batching import Prompt, rounded

if TYPE_CHECKING:
    from PIL import Image


class WholeBatch:
    """A batch of at most `size` prompts that takes new ones when all are finished; as `ContinuousBatch` is used."""

    def __init__(
        self,
        generate: Callable[[dict[str, Tensor], list[int]], list[list[int]]],
        device: torch.device,
        size: int,
        pad_id: int,
        tensors: Callable[[Sequence[Image.Image]], dict[str, Tensor]],
    ) -> None:
        """`generate` is `Family.generate` for a model on `device`; `tensors` makes of images what it takes."""
        self.generate, self.device, self.tensors = generate, device, tensors
        self.size, self.pad_id = size, pad_id
        self.prompts: list[Prompt] = []

    @property
    def room(self) -> int:
        """How many prompts may come next."""
        return 0 if self.prompts else self.size

    @torch.inference_mode()
    def advance(self, new: Sequence[Prompt]) -> list[tuple[Prompt, list[int]]]:
        """Continue prompts, which all have an image or all have none, to their ends; return each with its new ids."""
        if not new:
            return []
        self.prompts = list(new)
        width = rounded(max(len(prompt.ids) for prompt in new))
        ids = torch.full((len(new), width), self.pad_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(new):
            ids[row, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
            mask[row, width - len(prompt.ids) :] = 1
        images = [prompt.image for prompt in new if prompt.image is not None]
        inputs = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        if images:
            inputs |= self.tensors(images)
        written = self.generate(inputs, [prompt.limit for prompt in new])
        self.prompts = []
        return list(zip(new, written, strict=True))
