"""Images squashed to a square, whatever their shape: what Share-Captioner and Qwen-VL are shown (paper section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from sharegpt4v.models.pixels import BYTES_PER_PIXEL, to_pixels


@dataclass(frozen=True)
class Squashed:
    """Images resized to `size` pixels a side, bicubically, without keeping their shape."""

    size: int

    @property
    def kept_bytes(self) -> int:
        """Memory of a prepared image, as Pillow holds it."""
        return self.size * self.size * BYTES_PER_PIXEL

    def prepare(self, image: Image.Image) -> Image.Image:
        """Resize an RGB image."""
        return image.resize((self.size, self.size), Image.Resampling.BICUBIC)

    def blank(self) -> Image.Image:
        """Return a black square."""
        return Image.new("RGB", (self.size, self.size))

    def tensors(self, prepared: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """Return `pixel_values` by CLIP's mean and deviation, float32 of shape (images, 3, size, size)."""
        return {"pixel_values": to_pixels(prepared, self.size, "square")}
