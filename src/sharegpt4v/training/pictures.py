"""The images of a training set, as the vision tower takes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image

from sharegpt4v.errors import UserError
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.pixels import to_pixels, to_square

KEPT_BYTES = 1 << 30
BYTES_PER_PIXEL = 4  # as Pillow holds RGB
DECODERS = 4


class Pictures:
    """Decode images batch by batch; a small set is decoded once and stays in memory as 8-bit squares."""

    def __init__(self, count: int, size: int, aspect_ratio: str, device: torch.device) -> None:
        """`count` different images will be asked for; `size` is the tower's, in pixels; see `models.pixels`."""
        self.size, self.aspect_ratio, self.device = size, aspect_ratio, device
        self.keeps = count * size * size * BYTES_PER_PIXEL <= KEPT_BYTES
        self._kept: dict[Path, Image.Image] = {}
        self._pool = ThreadPoolExecutor(DECODERS)

    def __call__(self, images: list[Path]) -> torch.Tensor:
        """Return float32 pixel values of shape (images, 3, size, size); a broken image is a `UserError`."""
        squares = list(self._pool.map(self._square, images))
        return to_pixels(squares, self.size, "square").to(self.device)

    def _square(self, path: Path) -> Image.Image:
        if path in self._kept:
            return self._kept[path]
        try:
            square = to_square(open_rgb(path), self.size, self.aspect_ratio)
        except Exception as error:  # Pillow raises nearly anything on a broken file
            raise UserError(f"{path}: the image cannot be decoded ({error}); fetch its source again") from None
        if self.keeps:
            self._kept[path] = square
        return square
