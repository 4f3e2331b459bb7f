"""A key/value cache that is allocated once: no step of decoding copies it, whatever rows begin and end meanwhile.

Every row of a batch has a slot, and the token at position n of a row is at place n of its slot. The memory is that of
`rows` times `longest` positions. transformers' StaticCache has one length for all rows, so no row of it can begin
later than the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin


class SlotCache(Cache):
    """The cache of a model of `layers` layers; a forward is preceded by `begin` or `extend`, which say what it does."""

    def __init__(self, layers: int, rows: int, longest: int) -> None:
        """Hold `rows` slots of `longest` positions; the memory is allocated with the first forward."""
        self.shape = (rows, longest)
        self.first, self.length = 0, 0
        self.slots: Tensor | None = None
        self.places: Tensor | None = None  # None: prompts are read
        super().__init__(layers=[SlotLayer(self) for _ in range(layers)])

    def begin(self, first: int) -> None:
        """The next forward reads prompts, padded on the right, into the slots from `first` up."""
        self.first, self.places = first, None

    def extend(self, places: Tensor, length: int) -> None:
        """The next forward writes a token at `places` (rows) of the first slots, and sees their first `length` places.

        Its attention mask, (rows, 1, 1, length), has to hide what is behind the place of a row.
        """
        self.slots, self.places, self.length = torch.arange(len(places), device=places.device), places, length

    def move(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """Copy the first `length` positions of slots to other ones."""
        for layer in self.layers if sources else []:
            assert isinstance(layer, SlotLayer)
            for tensor in (layer.keys, layer.values):
                tensor[targets, :, :length] = tensor[sources, :, :length]


class SlotLayer(CacheLayerMixin):
    """The keys and values of one layer, each of shape (rows, heads, longest, head size)."""

    keys: Tensor
    values: Tensor

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cache = cache

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate zeros, not whatever the memory held: what a mask hides counts nothing only if it is finite."""
        rows, longest = self.cache.shape
        self.keys = key_states.new_zeros(rows, key_states.shape[1], longest, key_states.shape[3])
        self.values = value_states.new_zeros(rows, value_states.shape[1], longest, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Keep what a forward computed, (rows, heads, new positions, head size); return all that it may see."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        cache, (rows, _, width, _) = self.cache, key_states.shape
        if cache.places is None:
            self.keys[cache.first : cache.first + rows, :, :width] = key_states
            self.values[cache.first : cache.first + rows, :, :width] = value_states
            return key_states, value_states
        self.keys[cache.slots, :, cache.places] = key_states[:, :, 0]
        self.values[cache.slots, :, cache.places] = value_states[:, :, 0]
        return self.keys[:rows, :, : cache.length], self.values[:rows, :, : cache.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many positions a forward of `query_length` sees, and the first of them."""
        return (query_length if self.cache.places is None else self.cache.length), 0

    def get_seq_length(self) -> int:
        """Return the position of the first new token as transformers masks: behind all that a row may see."""
        return 0 if self.cache.places is None else self.cache.length - 1

    def get_max_length(self) -> int:
        """Return the positions of a slot."""
        return self.cache.shape[1]
