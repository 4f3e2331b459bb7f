"""Packing samples into rows, and rows into the batches that go through the model.

Positions restart at 0 with each sample; without an attention mask transformers derives from them that samples do not
see each other (the model must be called with `use_cache=False`). Where steps are of so many rows, rows have one
constant length, for a step with a new tensor shape is a slow one on a CPU. Where they are of so many samples, each
process gets samples of an even total length and lays them out one after another, so that hardly a position is padding.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import torch

from sharegpt4v.models.templates import IGNORED, Sample

OPEN_ROWS = 64  # rows kept open while packing: enough that the last fragments find a place
ROUNDED_TO = 64  # tokens: lengths that GPUs multiply fast, and fewer different ones


def rows_of_steps(
    lengths: Sequence[int], batch_size: int, capacity: int, seed: int, epoch: int
) -> list[list[list[int]]]:
    """Deal sample indices into the steps of an epoch: for each its `batch_size` rows, for each row its samples."""
    order = list(range(len(lengths)))
    Random(f"{seed}/{epoch}").shuffle(order)
    rows = pack(lengths, order, capacity)
    Random(f"{seed}/{epoch}/rows").shuffle(rows)
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


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


def deal(lengths: Sequence[int], samples: Sequence[int], processes: int, capacity: int | None) -> list[list[list[int]]]:
    """Deal the samples of a step to processes: for each its rows, one for each time of going through the model.

    All have as many rows, of total lengths as even as may be, and of at most `capacity` tokens (None: one row each). A
    row is empty only when there are fewer samples than rows.
    """
    count = 1
    if capacity:
        room = max(capacity, *(lengths[index] for index in samples))
        count = -(-sum(lengths[index] for index in samples) // (processes * room))
        while max(_totals(lengths, _even_rows(lengths, samples, processes * count))) > room:
            count += 1
    rows = _even_rows(lengths, samples, processes * count)
    # Rows that go through at the same time are alike; every other time the order of the processes turns round.
    return [
        [rows[time * processes + (process if time % 2 == 0 else processes - 1 - process)] for time in range(count)]
        for process in range(processes)
    ]


def _even_rows(lengths: Sequence[int], samples: Sequence[int], count: int) -> list[list[int]]:
    """Deal samples, the longest first, each to the row that is shortest so far; rows are sorted by length."""
    rows: list[tuple[int, int, list[int]]] = [(0, number, []) for number in range(count)]
    for index in sorted(samples, key=lambda index: (-lengths[index], index)):
        total, number, row = rows[0]
        heapq.heapreplace(rows, (total + lengths[index], number, [*row, index]))
    return [row for _, _, row in sorted(rows, key=lambda one: (-one[0], one[1]))]


def _totals(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(lengths[index] for index in row) for row in rows]


@dataclass
class Batch:
    """What goes through the model at once: tensors of shape (rows, length), the images in the order of their ids.

    `weights` say how much the loss at each label counts; those of all parts of a step add up to 1. `places` are the
    row, start and end of the sample of each image; `lengths` are the tokens of each sample, with and without an image.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    weights: torch.Tensor
    images: list[Path]
    places: list[tuple[int, int, int]]
    lengths: list[int]

    def as_one_row(self) -> Batch:
        """Return the same with all rows laid out one after another; row ends are padding that sees only itself."""
        flat = {name: getattr(self, name).reshape(1, -1) for name in ("ids", "labels", "positions", "weights")}
        width = self.ids.shape[1]
        places = [(0, row * width + start, row * width + end) for row, start, end in self.places]
        return replace(self, **flat, places=places)

    def leave_out(self, broken: Set[Path], pad: int) -> int:
        """Make padding of the samples of the images in `broken`; return how many they are."""
        left_out = [place for image, place in zip(self.images, self.places, strict=True) if image in broken]
        for row, start, end in left_out:
            self.ids[row, start:end] = pad
            self.labels[row, start:end] = IGNORED
            self.lengths.remove(end - start)
        return len(left_out)


def collate(
    samples: Sequence[Sample], rows: Sequence[Sequence[int]], capacity: int, pad: int, weights: Mapping[int, float]
) -> Batch:
    """Lay packed `rows` out as one batch of rows of `capacity` tokens; row ends are padding.

    `weights` holds for each sample what each of its supervised tokens counts. The first label of each sample is
    ignored: its token is predicted from the sample before it.
    """
    ids = torch.full((len(rows), capacity), pad, dtype=torch.long)
    labels = torch.full((len(rows), capacity), IGNORED, dtype=torch.long)
    positions = torch.zeros((len(rows), capacity), dtype=torch.long)
    counting = torch.zeros((len(rows), capacity))
    images: list[Path] = []
    places: list[tuple[int, int, int]] = []
    lengths: list[int] = []
    for number, row in enumerate(rows):
        start = 0
        for index in row:
            sample = samples[index]
            end = start + len(sample.ids)
            ids[number, start:end] = torch.tensor(sample.ids)
            labels[number, start + 1 : end] = torch.tensor(sample.labels[1:])
            positions[number, start:end] = torch.arange(len(sample.ids))
            counting[number, start:end] = weights[index]
            lengths.append(len(sample.ids))
            if sample.image:
                images.append(sample.image)
                places.append((number, start, end))
            start = end
        positions[number, start:] = torch.arange(capacity - start)
    return Batch(ids, labels, positions, counting, images, places, lengths)
