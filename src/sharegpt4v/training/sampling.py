"""Which samples make up each step of an epoch, and in which parts their losses are averaged (paper section 4.3).

The released runs take the mean loss of each GPU over the answers' tokens there, and the mean of those over the GPUs. So
a step's samples come in parts, one for each of their GPUs, whatever number of processes trains here. Fine-tuning groups
samples as LLaVA's `group_by_modality_length` does: a step holds images or text alone, and its parts are of like length.
The order is a pure function of seed and epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe


def parts_of_steps(
    lengths: Sequence[int], with_image: Sequence[bool], recipe: Recipe, seed: int, epoch: int
) -> list[list[list[int]]]:
    """Deal sample indices into the steps of an epoch: for each its parts, for each part its samples.

    A step has `recipe.batch_size` samples in `recipe.loss_parts` parts; the last one may have fewer. `lengths` are in
    tokens.
    """
    random = Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    random.shuffle(order)
    size, part_size = recipe.batch_size, -(-recipe.batch_size // recipe.loss_parts)
    if recipe.group_by_modality_length:
        order = _grouped(order, lengths, with_image, size, recipe.loss_parts, random)
    return [
        [
            order[first : min(first + part_size, start + size)]
            for first in range(start, min(start + size, len(order)), part_size)
        ]
        for start in range(0, len(order), size)
    ]


def _grouped(
    order: Sequence[int], lengths: Sequence[int], with_image: Sequence[bool], size: int, parts: int, random: Random
) -> list[int]:
    """Order samples in batches of one modality, shuffled; what is left over of both comes last, together."""
    batches: list[list[int]] = []
    left_over: list[int] = []
    for modality in (True, False):
        chosen = [index for index in order if with_image[index] == modality]
        dealt = [_even_parts(chosen[start : start + size], lengths, parts) for start in range(0, len(chosen), size)]
        left_over += dealt.pop() if dealt else []
        batches += dealt
    random.shuffle(batches)
    # Of a set of one modality the official sampler keeps the last batch as it is; of two it sorts what is left over.
    mixed = len({with_image[index] for index in left_over}) > 1
    return [index for batch in [*batches, sorted(left_over) if mixed else left_over] for index in batch]


def _even_parts(batch: Sequence[int], lengths: Sequence[int], parts: int) -> list[int]:
    """Order a batch so that cutting it into `parts` of equal count gives parts of like total length."""
    longest_first = sorted(batch, key=lambda index: lengths[index], reverse=True)
    if len(batch) % parts:
        return [index for part in range(parts) for index in longest_first[part::parts]]
    dealt: list[list[int]] = [[] for _ in range(parts)]
    totals = [0.0] * parts
    for index in longest_first:
        shortest = totals.index(min(totals))
        dealt[shortest].append(index)
        totals[shortest] += lengths[index]
        if len(dealt[shortest]) == len(batch) // parts:
            totals[shortest] = float("inf")
    return [index for part in dealt for index in part]
