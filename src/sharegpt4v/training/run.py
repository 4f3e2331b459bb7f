"""The training loop of every stage: packed batches, AdamW with a cosine schedule, resumable to the step.

A run is a pure function of its samples, recipe and seed: the order of each epoch is derived from seed and epoch, so
a run continued from a checkpoint takes the same steps as one that was never stopped (paper section 4, LLaVA's recipe).
Several processes take the steps of one, each with a part of every batch.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.training.conversation import Sample
from sharegpt4v.training.engine import engine_for
from sharegpt4v.training.meter import Meter
from sharegpt4v.training.packing import Batch, collate, steps_of_epoch
from sharegpt4v.training.ranks import ALONE, Ranks
from sharegpt4v.training.samples import learned_of, lengths_of

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a cosine down to zero at the last step."""

    steps: int
    warmup: int

    def __call__(self, step: int) -> float:
        """The factor on the learning rate at `step`, counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (step - self.warmup) / max(1, self.steps - self.warmup)))


def batches(
    samples: Sequence[Sample],
    recipe: Recipe,
    seed: int,
    steps: int,
    first: int,
    pad: int,
    ranks: Ranks,
    rows_at_once: int | None = None,
) -> Iterator[list[Batch]]:
    """Yield this process's part of the batches of steps `first` to `steps`, packing each epoch anew.

    A part is one batch, or several of `rows_at_once` rows: as many in every process, for they wait for each other.
    """
    lengths, learning, step, epoch = lengths_of(samples), learned_of(samples), 0, 0
    while step < steps:
        for rows in steps_of_epoch(lengths, recipe, seed, epoch):
            if first <= step < steps:
                mine = ranks.share(rows)
                most = math.ceil((recipe.batch_size if recipe.batch_of == "rows" else len(rows)) / ranks.count)
                size = min(rows_at_once or most, most)
                learned = sum(learning[index] for row in rows for index in row)
                yield [
                    replace(
                        collate(samples, mine[start : start + size], size, recipe.sequence_length, pad), learned=learned
                    )
                    for start in range(0, most, size)
                ]
            step += 1
        epoch += 1


def step_count(samples: Sequence[Sample], recipe: Recipe, seed: int) -> int:
    """Optimiser steps of the whole run: batches of the first epoch times the number of epochs, at least one."""
    if recipe.batch_of == "samples":
        count = math.ceil(len(samples) / recipe.batch_size)
    else:
        count = len(steps_of_epoch(lengths_of(samples), recipe, seed, 0))
    return max(1, round(count * recipe.epochs))


def train(
    model: Any,
    samples: Sequence[Sample],
    recipe: Recipe,
    seed: int,
    work: Path,
    what: str,
    pixels_of: Callable[[list[Path]], torch.Tensor] | None = None,
    pad: int = 0,
    record: Callable[[dict[str, float]], None] = lambda _: None,
    ranks: Ranks = ALONE,
    rows_at_once: int | None = None,
) -> None:
    """Train `model` in place; resume from the state in `work` when there is one.

    `pixels_of` reads the images of a batch, float32 (images, 3, size, size). `record` gets one row per step, in the
    first of several processes. `rows_at_once`: see `batches`. State is saved every `recipe.checkpoint_minutes` and when
    a process is asked to end (SIGTERM, as Slurm and Snakemake do).
    """
    steps = step_count(samples, recipe, seed)
    schedule = Schedule(steps, round(recipe.warmup_ratio * steps))
    engine = engine_for(model, recipe, work, ranks)
    first = engine.load()
    meter = Meter(what, steps, first)
    stopping = _ask_before_ending()
    model.train()
    saved = time.monotonic()

    def with_pixels(batch: Batch) -> tuple[Batch, torch.Tensor | None]:
        return batch, pixels_of(batch.images) if pixels_of and batch.images else None

    dealt = batches(samples, recipe, seed, steps, first, pad, ranks, rows_at_once)
    for step, parts in enumerate(dealt, start=first):
        loss_here = engine.step(map(with_pixels, parts), schedule(step))
        overdue = time.monotonic() - saved >= recipe.checkpoint_minutes * 60
        counts = sum(part.samples for part in parts), sum(part.ids.numel() for part in parts)
        loss, due, stop, read, tokens = ranks.total(loss_here, overdue, stopping(), *counts)
        if ranks.rank == 0:
            record(meter.step(step + 1, loss, schedule(step), round(read), round(tokens)))
        if due or stop:
            engine.save(step + 1)
            saved = time.monotonic()
        if stop:
            raise SystemExit(f"{what}: stopped at step {step + 1} of {steps}; the same command continues from there")
    model.eval()


def _ask_before_ending() -> Callable[[], bool]:
    """Turn SIGTERM into a flag, so that the loop ends between two steps with its state on disk."""
    asked: list[int] = []
    with contextlib.suppress(ValueError):  # not in the main thread: whoever runs the thread handles signals
        signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    return lambda: bool(asked)
