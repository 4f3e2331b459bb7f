"""Packing samples into rows of one constant length, and rows into the batches of the steps.

Hardly a position is padding, and rows of one length give batches of few shapes, for a step with a new tensor shape is
a slow one. Positions restart at 0 with each sample; without an attention mask transformers derives from them that
samples do not see each other (the model must be called with `use_cache=False`). The order is a pure function of seed
and epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import torch

from sharegpt4v.training.conversation import IGNORED, Sample

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe

OPEN_ROWS = 64  # rows kept open while packing: enough that the last fragments find a place


def steps_of_epoch(lengths: Sequence[int], recipe: Recipe, seed: int, epoch: int) -> list[list[list[int]]]:
    """Deal sample indices into the steps of an epoch: for each its rows, for each row its samples.

    `lengths` are in tokens. A step takes `recipe.batch_size` samples and the rows that they fill, or as many rows and
    the samples that fill them: see `recipe.batch_of`.
    """
    order = list(range(len(lengths)))
    Random(f"{seed}/{epoch}").shuffle(order)
    size = recipe.batch_size
    if recipe.batch_of == "samples":
        return [
            pack(lengths, order[start : start + size], recipe.sequence_length) for start in range(0, len(order), size)
        ]
    rows = pack(lengths, order, recipe.sequence_length)
    Random(f"{seed}/{epoch}/rows").shuffle(rows)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def pack(lengths: Sequence[int], order: Sequence[int], capacity: int) -> list[list[int]]:
    """Deal the samples of `order` into rows whose lengths sum to at most `capacity`.

    A sample longer than `capacity` is a `ValueError`: cut it before.
    """
    full: list[list[int]] = []
    open_rows: list[tuple[int, list[int]]] = []
    for index in order:
        if lengths[index] > capacity:
            raise ValueError(f"sample {index} has {lengths[index]} tokens, more than a row of {capacity}")
        for position, (room, row) in enumerate(open_rows):
            if lengths[index] <= room:
                row.append(index)
                open_rows[position] = (room - lengths[index], row)
                break
        else:
            open_rows.append((capacity - lengths[index], [index]))
            if len(open_rows) > OPEN_ROWS:
                tightest = min(range(len(open_rows)), key=lambda position: open_rows[position][0])
                full.append(open_rows.pop(tightest)[1])
    return full + [row for _, row in open_rows]


@dataclass
class Batch:
    """Tensors of shape (rows, length), the images in the order their ids appear, the number of samples.

    `learned` is the number of tokens to learn that the mean of the loss is over: of a part, those of the whole batch.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    images: list[Path]
    samples: int
    learned: int


def collate(samples: Sequence[Sample], rows: Sequence[Sequence[int]], row_count: int, capacity: int, pad: int) -> Batch:
    """Lay packed `rows` out as one batch of `row_count` rows; missing rows and row ends are padding.

    The first label of each sample is ignored: its token is predicted from the sample before it.
    """
    ids = torch.full((row_count, capacity), pad, dtype=torch.long)
    labels = torch.full((row_count, capacity), IGNORED, dtype=torch.long)
    positions = torch.zeros((row_count, capacity), dtype=torch.long)
    images: list[Path] = []
    learned = 0
    for number in range(row_count):
        start = 0
        for index in rows[number] if number < len(rows) else ():
            sample = samples[index]
            end = start + len(sample.ids)
            ids[number, start:end] = torch.tensor(sample.ids)
            labels[number, start + 1 : end] = torch.tensor(sample.labels[1:])
            positions[number, start:end] = torch.arange(len(sample.ids))
            images += [sample.image] if sample.image else []
            learned += sample.learned
            start = end
        positions[number, start:] = torch.arange(capacity - start)
    return Batch(ids, labels, positions, images, sum(len(row) for row in rows), learned)
