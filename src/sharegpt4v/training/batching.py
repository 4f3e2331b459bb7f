"""The batches of a training: which samples each step takes, what their tokens count, and how processes share them.

A run is a pure function of its samples, recipe and seed: the order of each epoch is derived from seed and epoch, so
a run continued from a checkpoint takes the same steps as one that was never stopped (paper sections 4.2 and 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharegpt4v.models.templates import Sample
from sharegpt4v.training.packing import ROUNDED_TO, Batch, collate, deal, rows_of_steps
from sharegpt4v.training.ranks import Ranks
from sharegpt4v.training.samples import learned_of, lengths_of, with_image_of
from sharegpt4v.training.sampling import parts_of_steps

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe

Step = list[list[int]]
"""The sample indices of a step in groups: the rows they fill, or the parts whose losses are averaged."""


@dataclass(frozen=True)
class Dealer:
    """Deals samples of `lengths` tokens, with their `supervised` tokens and whether they have an image, into steps.

    `row_length` is the longest that a row may be, in tokens, with the visual ones.
    """

    lengths: Sequence[int]
    supervised: Sequence[int]
    with_image: Sequence[bool]
    recipe: Recipe
    seed: int
    row_length: int

    @classmethod
    def of(cls, samples: Sequence[Sample], recipe: Recipe, seed: int, row_length: int) -> Dealer:
        """Deal samples in memory or on disk."""
        return cls(lengths_of(samples), learned_of(samples), with_image_of(samples), recipe, seed, row_length)

    def step_count(self) -> int:
        """Optimiser steps of the whole run: those of the first epoch times the number of epochs, at least one."""
        recipe = self.recipe
        by_samples = recipe.batch_of == "samples"
        count = math.ceil(len(self.lengths) / recipe.batch_size) if by_samples else len(self._epoch(0))
        return max(1, round(count * recipe.epochs))

    def steps(self, first: int, end: int) -> Iterator[Step]:
        """Yield the steps from `first` to before `end`, dealing each epoch anew."""
        step, epoch = 0, 0
        while step < end:
            for dealt in self._epoch(epoch):
                if first <= step < end:
                    yield dealt
                step += 1
            epoch += 1

    def weights(self, step: Step) -> dict[int, float]:
        """What each supervised token of a sample counts.

        The loss of a step is the mean over all its rows, or the mean over its parts of their means.
        """
        by_samples = self.recipe.batch_of == "samples"
        groups = step if by_samples else [[index for row in step for index in row]]
        totals = [max(1, sum(self.supervised[index] for index in group)) for group in groups]
        return {
            index: 1 / (len(groups) * total) for group, total in zip(groups, totals, strict=True) for index in group
        }

    def rows(self, step: Step, ranks: Ranks, rows_at_once: int | None = None) -> list[tuple[list[list[int]], int]]:
        """This process's part of a step: for each time of going through the model the rows, and their length.

        All processes have as many, for they wait for each other. At most `rows_at_once` rows, or one of at most their
        length, go through at a time.
        """
        if self.recipe.batch_of == "rows":
            mine, most = list(ranks.shard(step)), math.ceil(self.recipe.batch_size / ranks.count)
            size = min(rows_at_once or most, most)
            mine += [[]] * (math.ceil(most / size) * size - len(mine))
            return [(mine[start : start + size], self.row_length) for start in range(0, len(mine), size)]
        samples = [index for part in step for index in part]
        mine = deal(self.lengths, samples, ranks.count, rows_at_once and rows_at_once * self.row_length)[ranks.rank]
        totals = [sum(self.lengths[index] for index in row) for row in mine]
        rounded = [max(1, math.ceil(total / ROUNDED_TO)) * ROUNDED_TO for total in totals]
        return [([row], length) for row, length in zip(mine, rounded, strict=True)]

    def _epoch(self, epoch: int) -> list[Step]:
        recipe = self.recipe
        if recipe.batch_of == "rows":
            return rows_of_steps(self.lengths, recipe.batch_size, self.row_length, self.seed, epoch)
        return parts_of_steps(self.lengths, self.with_image, recipe, self.seed, epoch)


def batches(
    samples: Sequence[Sample],
    dealer: Dealer,
    first: int,
    end: int,
    pad: int,
    ranks: Ranks,
    rows_at_once: int | None = None,
) -> Iterator[list[Batch]]:
    """Yield this process's part of the steps `first` to before `end`: one batch, or several that add up."""
    for step in dealer.steps(first, end):
        weights = dealer.weights(step)
        rows = dealer.rows(step, ranks, rows_at_once)
        yield [collate(samples, some, length, pad, weights) for some, length in rows]
