"""What a LLaVA's language model reads: words, and in the place of each image its visual tokens (paper section 4.1)."""

from __future__ import annotations

from typing import Any

import torch


def embed(model: Any, ids: torch.Tensor, pixels: torch.Tensor | None) -> torch.Tensor:
    """Embed rows, with images of shape (images, 3, size, size) where their marks are, as transformers' LLaVA does.

    Rows without images go by way of a blank one that counts nothing. So every batch calls the same modules in the same
    order: processes that add their gradients up, and gather weights as they are called, have to agree on them.
    """
    embedded: torch.Tensor = model.get_input_embeddings()(ids)
    size, dtype = model.config.vision_config.image_size, model.dtype
    seen = torch.zeros((1, 3, size, size), device=ids.device) if pixels is None else pixels
    features = torch.cat(model.get_image_features(pixel_values=seen.to(dtype), return_dict=True).pooler_output)
    features = features.to(embedded.dtype)
    if pixels is None:
        return embedded + 0 * features.sum()
    marks = (ids == model.config.image_token_id).unsqueeze(-1)
    if marks.sum() * embedded.shape[-1] != features.numel():
        raise ValueError(f"{int(marks.sum())} marks in a batch of images that become {features.shape}")
    return embedded.masked_scatter(marks, features)
