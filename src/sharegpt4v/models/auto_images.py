"""Images of any family, by the processor of its checkpoint: what the model takes, and what ids a mark becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from PIL import Image

from sharegpt4v.errors import UserError
from sharegpt4v.images.loading import MOST_PIXELS

THREADS = 4
TEXTS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
BLANK = (64, 48)  # pixels
BYTES_PER_PIXEL = 4  # as Pillow holds RGB


class ProcessorImages:
    """Images as the processor of a checkpoint prepares them, each by itself."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    @property
    def kept_bytes(self) -> int:
        """Memory of a prepared image, which may be of any size."""
        return MOST_PIXELS * BYTES_PER_PIXEL

    def prepare(self, image: Image.Image) -> Image.Image:
        """Return an RGB image as it is: its size says what its mark becomes.

        What the processor raises where there are no such ids: for a strip that is too narrow.
        """
        visual_ids(self.processor, image.size)
        return image

    def blank(self) -> Image.Image:
        """Return a grey image: black and white are what some families pad with."""
        return Image.new("RGB", BLANK, (90, 120, 150))

    def tensors(self, prepared: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """Return what the model takes beside ids, by name, the images along the first axis.

        Images of fewer tiles than the largest are padded with tiles of zeros, as the processors themselves do it.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            each = list(pool.map(self._tensors, prepared))
        return {name: _joined([one[name] for one in each]) for name in each[0]}

    def _tensors(self, image: Image.Image) -> dict[str, torch.Tensor]:
        found = _processed(self.processor, image)
        return {name: torch.as_tensor(value) for name, value in found.items() if name not in TEXTS}


@cache
def visual_ids(processor: Any, size: tuple[int, int]) -> Sequence[int]:
    """Return the ids that the mark of an image of `size` (width, height) becomes, as the processor says of a blank one.

    `UserError` where text is among them at an end, which tokenises in one with the text around it.
    """
    ids: list[int] = _processed(processor, Image.new("RGB", size))["input_ids"][0].tolist()
    special = {id for id, token in processor.tokenizer.added_tokens_decoder.items() if token.special}
    if not {ids[0], ids[-1]} <= special:
        raise UserError(
            f"{type(processor).__name__}: puts text around an image, which cannot be told from the text of a question; "
            "ask such a model by another engine"
        )
    return ids


def _processed(processor: Any, image: Image.Image) -> Mapping[str, Any]:
    """Return what a processor makes of an image and of its mark alone."""
    found: Mapping[str, Any] = processor(
        images=[image], text=[processor.image_token], return_tensors="pt", text_kwargs={"add_special_tokens": False}
    )
    return found


def _joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join tensors along the first axis, each filled up with zeros to the largest in the others."""
    shape = [max(sizes) for sizes in zip(*(one.shape[1:] for one in tensors), strict=True)]
    joined = tensors[0].new_zeros((sum(len(one) for one in tensors), *shape))
    start = 0
    for one in tensors:
        joined[(slice(start, start + len(one)), *map(slice, one.shape[1:]))] = one
        start += len(one)
    return joined
