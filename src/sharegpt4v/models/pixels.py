"""From an image to what the vision tower takes (paper section 4, CLIP's preprocessing).

`pad` pastes the image centred on a square of the mean colour before resizing, as fine-tuning and most benchmarks do;
`square` resizes the short side and cuts the centre, as pre-training does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from sharegpt4v.images.loading import MOST_PIXELS

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
PAD_COLOUR = (122, 116, 104)  # int(255 * MEAN)
BYTES_PER_PIXEL = 4  # as Pillow holds RGB


@dataclass(frozen=True)
class Squares:
    """Images as squares of `size` pixels a side, made so by `aspect_ratio`: "pad" or "square"."""

    size: int
    aspect_ratio: str

    @property
    def kept_bytes(self) -> int:
        """Memory of a prepared image, as Pillow holds it."""
        return self.size * self.size * BYTES_PER_PIXEL

    def prepare(self, image: Image.Image) -> Image.Image:
        """Make an RGB image square."""
        return to_square(image, self.size, self.aspect_ratio)

    def blank(self) -> Image.Image:
        """Return a black square."""
        return Image.new("RGB", (self.size, self.size))

    def tensors(self, prepared: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """Return `pixel_values`, float32 of shape (images, 3, size, size)."""
        return {"pixel_values": to_pixels(prepared, self.size, "square")}


def to_square(image: Image.Image, size: int, aspect_ratio: str) -> Image.Image:
    """An RGB image of `size` by `size` pixels; `aspect_ratio` is "pad" or "square"."""
    image = _no_strip(image, size, aspect_ratio)
    width, height = image.size
    if aspect_ratio == "pad" and width != height:
        side = max(width, height)
        square = Image.new("RGB", (side, side), PAD_COLOUR)
        square.paste(image, ((side - width) // 2, (side - height) // 2))
        image, width, height = square, side, side
    short = min(width, height)
    if short != size:
        width, height = (int(size * width / short), int(size * height / short)) if short else (size, size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size)) if (width, height) != (size, size) else image


def _no_strip(image: Image.Image, size: int, aspect_ratio: str) -> Image.Image:
    """Make an image smaller whose square would take more memory than any image may: a strip of 65,535 by 1 pixels.

    Padded, such a strip is 17 GB; resized to a short side of 336 pixels, 30 GB.
    """
    width, height = image.size
    long, short = max(width, height), max(1, min(width, height))
    if aspect_ratio == "pad":
        if long * long > MOST_PIXELS:
            scale = MOST_PIXELS**0.5 / long
            return image.resize((max(1, int(width * scale)), max(1, int(height * scale))), Image.Resampling.BICUBIC)
    elif size * size * long > MOST_PIXELS * short:
        longest = MOST_PIXELS * short // (size * size)
        left, top = max(0, width - longest) // 2, max(0, height - longest) // 2
        return image.crop((left, top, min(width, left + longest), min(height, top + longest)))
    return image


def to_pixels(images: Sequence[Image.Image], size: int, aspect_ratio: str) -> torch.Tensor:
    """Normalised pixel values of RGB images, float32 of shape (images, 3, size, size)."""
    stacked = np.stack([np.asarray(to_square(image, size, aspect_ratio)) for image in images])
    values = (stacked.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))
