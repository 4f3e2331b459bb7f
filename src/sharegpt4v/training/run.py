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
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup

from sharegpt4v.config.compute import SINGLE_PROCESS, Compute
from sharegpt4v.lifetime import Stopped, end_on_signals
from sharegpt4v.models.family import family_of
from sharegpt4v.models.templates import Sample
from sharegpt4v.training.adapters import seed_dropout
from sharegpt4v.training.batch_images import BatchImages
from sharegpt4v.training.batching import Dealer, batches
from sharegpt4v.training.engines import engine_for
from sharegpt4v.training.meter import Counted, Meter
from sharegpt4v.training.prefetch import Prefetch
from sharegpt4v.training.ranks import SINGLE_RANK, Ranks
from sharegpt4v.training.saved_states import SavedStates

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
    device: torch.device | None = None,
) -> None:
    """Train `model` in place; resume from the state in `work` when there is one.

    `batch_images` reads the images of a batch, in `compute.decoders` threads ahead of the step; batches are moved to
    `device` (None: where the model is). `record` gets one row per step, in the first of several processes; the
    row counts samples that are left out for a broken image, whose tokens count nothing, and the others' no more for it.
    `compute` says how many rows go through the model at once, see `Dealer.rows`. A row may be as long as
    `recipe.sequence_length` with one mark expanded to `image_tokens`. State is saved every `recipe.checkpoint_minutes`,
    while the steps go on, and when a signal asks a process to end (see `sharegpt4v.lifetime`), which raises `Stopped`
    once the state is on disk.
    """
    dealer = Dealer.of(samples, recipe, seed, recipe.sequence_length - 1 + image_tokens)
    steps = dealer.step_count()
    schedule = schedule_of(recipe, steps)
    engine = engine_for(model, recipe, compute, ranks)
    states = SavedStates(engine, work, ranks)
    first = states.load()
    device = device or model.device
    family = family_of(model)
    operations = family.training_operations(model.config, recipe) if family else None
    meter = Meter(what, steps, first, device, ranks.count, operations)
    asked: list[int] = []
    with contextlib.suppress(ValueError):  # not in the main thread: whoever runs the thread handles signals
        end_on_signals(lambda number, frame: asked.append(number))
    model.train()
    saved = time.monotonic()

    dealt = batches(samples, dealer, first, steps, pad, ranks, compute.rows_at_once)
    with Prefetch(dealt, batch_images, pad, compute.decoders, device) as parts:
        for step in range(first, steps):
            states.check()
            seed_dropout(recipe, seed, step, ranks.rank)
            loss_here = engine.step(parts.step(), schedule(step))
            overdue = time.monotonic() - saved >= recipe.checkpoint_minutes * 60
            loss, due, stop, *counted = ranks.all_reduce_sum(loss_here, overdue, bool(asked), *astuple(parts.counted))
            if ranks.rank == 0:
                record(meter.step(step + 1, loss, schedule(step), Counted(*counted)))
            if due or stop:
                states.save(step + 1)
                saved = time.monotonic()
            if stop:
                states.finish()
                raise Stopped(
                    max(asked, default=signal.SIGTERM),
                    f"stopped at step {step + 1} of {steps}; the same command resumes",
                )
    states.finish()
    engine.finish()
    model.eval()
