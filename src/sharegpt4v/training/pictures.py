"""The images of a training set, as the vision tower takes them.

Images were all decoded where their source was fetched, but files can break later, in the weeks that a training takes.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image

from sharegpt4v.errors import UserError, one_line
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.pixels import to_pixels, to_square

KEPT_BYTES = 1 << 30
BYTES_PER_PIXEL = 4  # as Pillow holds RGB
DECODERS = 4


class Pictures:
    """Decode images batch by batch; a small set is decoded once and stays in memory as 8-bit squares."""

    def __init__(
        self, count: int, size: int, aspect_ratio: str, device: torch.device, leaves_out: bool = False
    ) -> None:
        """`count` different images will be asked for; `size` is the tower's, in pixels; see `models.pixels`.

        With `leaves_out` broken images are black, and are in the set `broken` from then on.
        """
        self.size, self.aspect_ratio, self.device = size, aspect_ratio, device
        self.keeps = count * size * size * BYTES_PER_PIXEL <= KEPT_BYTES
        self.leaves_out = leaves_out
        self.broken: set[Path] = set()
        self._kept: dict[Path, Image.Image] = {}
        self._pool = ThreadPoolExecutor(DECODERS)

    def __call__(self, images: list[Path]) -> torch.Tensor:
        """Return float32 pixel values of shape (images, 3, size, size); a broken image may be a `UserError`."""
        squares = list(self._pool.map(self._square, images))
        return to_pixels(squares, self.size, "square").to(self.device)

    def _square(self, path: Path) -> Image.Image:
        if path in self._kept:
            return self._kept[path]
        try:
            square = to_square(open_rgb(path), self.size, self.aspect_ratio)
        except Exception as error:  # Pillow raises nearly anything on a broken file
            said = f"{path}: the image cannot be decoded ({one_line(error)})"
            if not self.leaves_out:
                raise UserError(f"{said}; fetch its source again") from None
            if path not in self.broken:
                print(f"{said}; its rows are left out", file=sys.stderr)
            self.broken.add(path)
            square = Image.new("RGB", (self.size, self.size))
        if self.keeps:
            self._kept[path] = square
        return square
