"""The images of a training set, as the model takes them.

Images were all decoded where their source was fetched, but files can break later, in the weeks that a training takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from sharegpt4v.errors import UserError, one_line
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.family import Images

KEPT_BYTES = 1 << 30


class Decoded(NamedTuple):
    """What the model takes of images beside ids, see `Images.tensors`; None when all are broken.

    `broken` says of each broken image why.
    """

    pixels: Mapping[str, torch.Tensor] | None
    broken: Mapping[Path, str]


class BatchImages:
    """Decode images batch by batch; a small set is decoded once and stays in memory. Any thread may call it."""

    def __init__(self, count: int, images: Images, leaves_out: bool = False) -> None:
        """`count` different images will be asked for; `images` makes of them what the model takes.

        With `leaves_out` broken images are left out.
        """
        self.images = images
        self.keeps = count * images.kept_bytes <= KEPT_BYTES
        self.leaves_out = leaves_out
        self._kept: dict[Path, Image.Image] = {}

    def __call__(self, images: Sequence[Path]) -> Decoded:
        """Decode and prepare images, one after the other. A broken one is a `UserError`, unless it is left out."""
        prepared: list[Image.Image] = []
        broken: dict[Path, str] = {}
        for path in images:
            try:
                prepared.append(self._prepared(path))
            except Exception as error:  # Pillow raises nearly anything on a broken file
                said = f"{path}: the image cannot be decoded ({one_line(error)})"
                if not self.leaves_out:
                    raise UserError(f"{said}; fetch its source again") from None
                broken[path] = said
        return Decoded(self.images.tensors(prepared) if prepared else None, broken)

    def _prepared(self, path: Path) -> Image.Image:
        if path in self._kept:
            return self._kept[path]
        prepared = self.images.prepare(open_rgb(path))
        if self.keeps:
            self._kept[path] = prepared
        return prepared
