"""The training loop of every stage: packed batches, AdamW with a warm-up and a schedule, resumable to the step.

A run continued from a checkpoint takes the same steps as one that was never stopped (paper section 4, LLaVA's recipe).
Several processes take the steps of one, each with a part of every batch.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup

from sharegpt4v.config.compute import SINGLE_PROCESS, Compute
from sharegpt4v.lifetime import Stopped, end_on_signals
from sharegpt4v.models.templates import Sample
from sharegpt4v.training.batch_images import BatchImages
from sharegpt4v.training.batching import Dealer, batches
from sharegpt4v.training.engines import engine_for
from sharegpt4v.training.loss import Pixels
from sharegpt4v.training.meter import LEFT_OUT, Meter
from sharegpt4v.training.packing import Batch
from sharegpt4v.training.ranks import SINGLE_RANK, Ranks

if TYPE_CHECKING:
    from sharegpt4v.config.training import Recipe


def cosine_schedule(steps: int, warmup_ratio: float) -> Callable[[int], float]:
    """Return the factor on the learning rate by step, counted from 0: transformers' cosine to zero after the last step.

    The warm-up from zero takes `warmup_ratio` of the steps, rounded up.
    """
    factor: Callable[[int], float] = get_cosine_schedule_with_warmup(
        _unused(), math.ceil(warmup_ratio * steps), steps
    ).lr_lambdas[0]
    return factor


def constant_schedule(steps: int, warmup_ratio: float) -> Callable[[int], float]:
    """Return the factor on the learning rate by step: transformers' constant one after the same warm-up."""
    factor: Callable[[int], float] = get_constant_schedule_with_warmup(
        _unused(), math.ceil(warmup_ratio * steps)
    ).lr_lambdas[0]
    return factor


def schedule_of(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """Return the factor on the learning rates of a recipe by step, counted from 0."""
    schedule = cosine_schedule if recipe.schedule == "cosine" else constant_schedule
    return schedule(steps, recipe.warmup_ratio)


def _unused() -> torch.optim.Optimizer:
    """An optimiser of nothing: transformers gives its schedules with an optimiser only."""
    return torch.optim.SGD([torch.zeros(1)], lr=1.0)


def train(
    model: Any,
    samples: Sequence[Sample],
    recipe: Recipe,
    seed: int,
    work: Path,
    what: str,
    batch_images: BatchImages | None = None,
    pad: int = 0,
    record: Callable[[dict[str, float]], None] = lambda _: None,
    ranks: Ranks = SINGLE_RANK,
    compute: Compute = SINGLE_PROCESS,
    image_tokens: int = 1,
) -> None:
    """Train `model` in place; resume from the state in `work` when there is one.

    `batch_images` reads the images of a batch. `record` gets one row per step, in the first of several processes; the
    row counts samples that are left out for a broken image, whose tokens count nothing, and the others' no more for it.
    `compute` says how many rows go through the model at once, see `Dealer.rows`. A row may be as long as
    `recipe.sequence_length` with one mark expanded to `image_tokens`. State is saved every `recipe.checkpoint_minutes`
    and when a signal asks a process to end (see `sharegpt4v.lifetime`), which raises `Stopped` after the step.
    """
    dealer = Dealer.of(samples, recipe, seed, recipe.sequence_length - 1 + image_tokens)
    steps = dealer.step_count()
    schedule = schedule_of(recipe, steps)
    engine = engine_for(model, recipe, compute, work, ranks)
    first = engine.load()
    meter = Meter(what, steps, first)
    asked: list[int] = []
    with contextlib.suppress(ValueError):  # not in the main thread: whoever runs the thread handles signals
        end_on_signals(lambda number, frame: asked.append(number))
    model.train()
    saved = time.monotonic()

    left_out: list[int] = []

    def with_pixels(batch: Batch) -> tuple[Batch, Pixels | None]:
        if not batch_images or not batch.images:
            return batch, None
        pixels = batch_images(batch.images)
        left_out.append(batch.leave_out(batch_images.broken, pad))
        return batch, pixels

    dealt = batches(samples, dealer, first, steps, pad, ranks, compute.rows_at_once)
    for step, parts in enumerate(dealt, start=first):
        left_out.clear()
        loss_here = engine.step(map(with_pixels, parts), schedule(step))
        overdue = time.monotonic() - saved >= recipe.checkpoint_minutes * 60
        counts = sum(part.samples for part in parts), sum(part.ids.numel() for part in parts)
        loss, due, stop, read, tokens, lost = ranks.all_reduce_sum(
            loss_here, overdue, bool(asked), *counts, sum(left_out)
        )
        if ranks.rank == 0:
            row = meter.step(step + 1, loss, schedule(step), round(read), round(tokens))
            record(row | ({LEFT_OUT: round(lost)} if lost else {}))
        if due or stop:
            engine.save(step + 1)
            saved = time.monotonic()
        if stop:
            raise Stopped(
                max(asked, default=signal.SIGTERM), f"stopped at step {step + 1} of {steps}; the same command resumes"
            )
    engine.finish()
    model.eval()
