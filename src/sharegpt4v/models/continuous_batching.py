"""Continuous batching: prompts are continued greedily (paper section 5.1), and rows that end make room for the next.

transformers' own continuous batching takes no images. Prompts are read with padding on the right, which no token of
theirs can see; from then on every row is at a position of its own. So an answer is the same in a batch as alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sharegpt4v.errors import UserError
from sharegpt4v.models.slot_cache import SlotCache

if TYPE_CHECKING:
    from PIL import Image

STEP = 8  # lengths are rounded up to a multiple of this: the first forward of a new shape is a slow one
REFILL = 4  # a batch is refilled when this part of it, a quarter, is free: a prompt alone is slow to read


@dataclass(frozen=True)
class Prompt:
    """What a row continues: the ids of a prompt, with its image prepared, by at most `limit` new ids."""

    index: int
    ids: Sequence[int]
    image: Image.Image | None
    limit: int


@dataclass(frozen=True)
class Greedy:
    """How ids are chosen: the likeliest, never one of `never`, until one of `ends`.

    `penalty` makes those less likely that a row has written already, as transformers' `repetition_penalty` does where
    a prompt is embeddings.
    """

    never: Tensor
    ends: frozenset[int]
    penalty: float = 1.0

    def choose(self, logits: Tensor, written: Sequence[Sequence[int]]) -> list[int]:
        """Return an id for each row of `logits`, (rows, vocabulary); `written` are the new ids of each row so far."""
        scores = logits.index_fill(-1, self.never, -math.inf)
        if self.penalty != 1:
            pairs = [(row, one) for row, ids in enumerate(written) for one in ids]
            rows, ids = torch.tensor(pairs, dtype=torch.long, device=scores.device).reshape(-1, 2).T
            seen = scores[rows, ids]
            scores[rows, ids] = torch.where(seen < 0, seen * self.penalty, seen / self.penalty)
        chosen: list[int] = scores.argmax(-1).tolist()
        return chosen


@dataclass(eq=False)
class Row:
    """A prompt that is being continued, and its new ids so far."""

    prompt: Prompt
    written: list[int] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The newest id, which the next step reads."""
        return self.written[-1] if self.written else self.prompt.ids[-1]

    @property
    def place(self) -> int:
        """The position of the newest id."""
        return len(self.prompt.ids) + len(self.written) - 1


class ContinuousBatch:
    """A batch of at most `size` rows of at most `longest` positions: prompts and what they are continued by.

    Its cache takes the memory of size x longest positions, and no more. Rows that are being continued are the first
    ones of the batch: where one ends, the last one takes its place.
    """

    def __init__(
        self,
        model: Any,
        size: int,
        longest: int,
        pad_id: int,
        tensors: Callable[[Sequence[Image.Image]], dict[str, Tensor]],
        greedy: Greedy,
    ) -> None:
        """`tensors` makes of images what the model takes, by the names of its forward; `pad_id` is any id of a text."""
        self.model, self.size, self.pad_id, self.tensors, self.greedy = model, size, pad_id, tensors, greedy
        self.rows: list[Row] = []
        config = model.config.get_text_config()
        if longest > (getattr(config, "sliding_window", None) or longest):
            raise UserError(
                f"{model.name_or_path}: attention sees {config.sliding_window} tokens, and a prompt with its answer "
                f"may take {longest}; expected at most as many: lower the limit of new tokens"
            )
        self.cache = SlotCache(config.num_hidden_layers, size, rounded(longest))

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts that are not finished."""
        return [row.prompt for row in self.rows]

    @property
    def room(self) -> int:
        """How many prompts may come next: none until a quarter of the batch is free."""
        free = self.size - len(self.rows)
        return free if REFILL * free >= self.size else 0

    @torch.inference_mode()
    def advance(self, new: Sequence[Prompt]) -> list[tuple[Prompt, list[int]]]:
        """Add prompts, which all have an image or all have none, and continue every row by one id.

        Returns the prompts that are finished with their new ids, the end mark among them.
        """
        first = len(self.rows)
        self.rows += [Row(prompt) for prompt in new]
        if new:
            self._read(new, first)
        if not self.rows:
            return []
        for row, chosen in zip(self.rows, self._next_ids(), strict=True):
            row.written.append(chosen)
        return self._take_finished()

    def _read(self, prompts: Sequence[Prompt], first: int) -> None:
        """Fill the slots from `first` up with prompts but for their last id, which is always text: a step reads it."""
        width = rounded(max(len(prompt.ids) for prompt in prompts) - 1)
        ids = torch.full((len(prompts), width), self.pad_id)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt.ids) - 1] = torch.tensor(prompt.ids[:-1], dtype=torch.long)
        images = [prompt.image for prompt in prompts if prompt.image is not None]
        self.cache.begin(first)
        self._forward(ids, torch.arange(width).expand_as(ids), **(self.tensors(images) if images else {}))

    def _next_ids(self) -> list[int]:
        """Read the newest id of every row and choose the next."""
        places = torch.tensor([row.place for row in self.rows], device=self.model.device)
        length = rounded(max(row.place for row in self.rows) + 1)
        hidden = torch.arange(length, device=places.device) > places[:, None]
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype, device=places.device)
        mask.masked_fill_(hidden, torch.finfo(mask.dtype).min)  # added to scores: of any kind of attention but flash
        self.cache.extend(places, length)
        ids = torch.tensor([[row.last] for row in self.rows])
        logits = self._forward(ids, places[:, None], attention_mask=mask[:, None, None])
        return self.greedy.choose(logits, [row.written for row in self.rows])

    def _forward(self, ids: Tensor, positions: Tensor, **inputs: Tensor) -> Tensor:
        """Return the logits after the last of the ids, (rows, vocabulary)."""
        device = self.model.device
        logits: Tensor = self.model(
            input_ids=ids.to(device),
            position_ids=positions.to(device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
            **inputs,
        ).logits
        return logits[:, -1]

    def _take_finished(self) -> list[tuple[Prompt, list[int]]]:
        """Remove the rows that are finished; the last ones that are not move into their slots."""
        rows, ends = self.rows, self.greedy.ends
        finished = [row for row in rows if row.written[-1] in ends or len(row.written) == row.prompt.limit]
        if finished:
            left = [slot for slot, row in enumerate(rows) if row not in finished]
            free = [slot for slot, row in enumerate(rows[: len(left)]) if row in finished]
            moving = [slot for slot in left if slot >= len(left)]
            self.cache.move(moving, free, max((rows[slot].place for slot in moving), default=0))
            for source, target in zip(moving, free, strict=True):
                rows[target] = rows[source]
            del rows[len(left) :]
        return [(row.prompt, row.written) for row in finished]


def rounded(length: int) -> int:
    """Return a length rounded up to a multiple of `STEP`, at least one."""
    return STEP * max(1, math.ceil(length / STEP))
