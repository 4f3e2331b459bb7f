"""The images of a training set, as the model takes them.

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
from sharegpt4v.models.family import Images

KEPT_BYTES = 1 << 30
DECODERS = 4


class BatchImages:
    """Decode images batch by batch; a small set is decoded once and stays in memory."""

    def __init__(self, count: int, images: Images, device: torch.device, leaves_out: bool = False) -> None:
        """`count` different images will be asked for; `images` makes of them what the model takes.

        With `leaves_out` broken images are left out, and are in the set `broken` from then on.
        """
        self.images, self.device = images, device
        self.keeps = count * images.kept_bytes <= KEPT_BYTES
        self.leaves_out = leaves_out
        self.broken: set[Path] = set()
        self._kept: dict[Path, Image.Image] = {}
        self._pool = ThreadPoolExecutor(DECODERS)

    def __call__(self, images: list[Path]) -> dict[str, torch.Tensor] | None:
        """Return what the model takes beside ids, see `Images.tensors`; None when no image is left.

        A broken image may be a `UserError`.
        """
        prepared = [image for image in self._pool.map(self._prepared, images) if image is not None]
        if not prepared:
            return None
        return {name: tensor.to(self.device) for name, tensor in self.images.tensors(prepared).items()}

    def _prepared(self, path: Path) -> Image.Image | None:
        if path in self.broken:
            return None
        if path in self._kept:
            return self._kept[path]
        try:
            prepared = self.images.prepare(open_rgb(path))
        except Exception as error:  # Pillow raises nearly anything on a broken file
            said = f"{path}: the image cannot be decoded ({one_line(error)})"
            if not self.leaves_out:
                raise UserError(f"{said}; fetch its source again") from None
            print(f"{said}; its rows are left out", file=sys.stderr)
            self.broken.add(path)
            return None
        if self.keeps:
            self._kept[path] = prepared
        return prepared
