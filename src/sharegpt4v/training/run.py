"""The training loop of every stage: packed batches, AdamW with a cosine schedule, resumable to the step.

A run is a pure function of its samples, recipe and seed: the order of each epoch is derived from seed and epoch, so
a run continued from a checkpoint takes the same steps as one that was never stopped (paper section 4, LLaVA's recipe).
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sharegpt4v.training.conversation import IGNORED, Sample
from sharegpt4v.training.meter import Meter
from sharegpt4v.training.packing import Batch, collate, pack

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


def batches(samples: Sequence[Sample], recipe: Recipe, seed: int, steps: int, first: int, pad: int) -> Iterator[Batch]:
    """Yield the batches of steps `first` to `steps`, packing each epoch anew."""
    lengths, step, epoch = [len(sample.ids) for sample in samples], 0, 0
    while step < steps:
        rows = pack(lengths, recipe.sequence_length, seed, epoch)
        for start in range(0, len(rows), recipe.batch_size):
            if first <= step < steps:
                chosen = rows[start : start + recipe.batch_size]
                yield collate(samples, chosen, recipe.batch_size, recipe.sequence_length, pad)
            step += 1
        epoch += 1


def step_count(samples: Sequence[Sample], recipe: Recipe, seed: int) -> int:
    """Optimiser steps of the whole run: batches of the first epoch times the number of epochs, at least one."""
    rows = pack([len(sample.ids) for sample in samples], recipe.sequence_length, seed, 0)
    return max(1, round(math.ceil(len(rows) / recipe.batch_size) * recipe.epochs))


def parameter_groups(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Trainable parameters by learning rate (tower, projector, rest) and weight decay (none on vectors)."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = recipe.learning_rate
        if "vision_tower" in name:
            rate = recipe.vision_learning_rate or rate
        elif "multi_modal_projector" in name:
            rate = recipe.projector_learning_rate or rate
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "initial_lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def loss_of(model: Any, batch: Batch, pixels: torch.Tensor | None) -> torch.Tensor:
    """Mean cross-entropy over the learned tokens of a batch.

    The vocabulary is only scored at positions that are learned from: most of a row is image and prompt.
    """
    inputs: dict[str, Any] = {"input_ids": batch.ids, "position_ids": batch.positions, "use_cache": False}
    if pixels is not None:
        inputs["pixel_values"] = pixels
    hidden = model.model(**inputs).last_hidden_state[:, :-1]
    targets = batch.labels[:, 1:]
    learned = targets != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[learned]).float(), targets[learned])


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
) -> None:
    """Train `model` in place; resume from `work/state.pt` when it is there.

    `pixels_of` reads the images of a batch, float32 (images, 3, size, size). `record` gets one row per step. State is
    saved every `recipe.checkpoint_minutes` and when the process is asked to end (SIGTERM, as Slurm and Snakemake do).
    """
    steps = step_count(samples, recipe, seed)
    schedule = Schedule(steps, round(recipe.warmup_ratio * steps))
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe), betas=(0.9, 0.999), eps=1e-8)
    state = State(work / "state.pt", model, optimiser)
    first = state.load()
    meter = Meter(what, steps, first)
    stopping = _ask_before_ending()
    model.train()
    saved = time.monotonic()
    for step, batch in enumerate(batches(samples, recipe, seed, steps, first, pad), start=first):
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] * schedule(step)
        pixels = pixels_of(batch.images) if pixels_of and batch.images else None
        loss = loss_of(model, batch, pixels)
        loss.backward()
        if recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        record(meter.step(step + 1, loss.item(), schedule(step), batch))
        if stopping() or time.monotonic() - saved >= recipe.checkpoint_minutes * 60:
            state.save(step + 1)
            saved = time.monotonic()
        if stopping():
            raise SystemExit(f"{what}: stopped at step {step + 1} of {steps}; the same command continues from there")
    model.eval()


class State:
    """What a run needs to continue: weights, optimiser moments and the number of finished steps, in one file."""

    def __init__(self, path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        self.path, self.model, self.optimiser = path, model, optimiser

    def save(self, step: int) -> None:
        """Write the state after `step` finished steps, atomically."""
        from sharegpt4v.files import open_atomically

        learned = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        with open_atomically(self.path) as file:
            torch.save({"step": step, "model": learned, "optimiser": self.optimiser.state_dict()}, file)

    def load(self) -> int:
        """Restore the state when there is one; return the number of finished steps."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"], strict=False)
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])


def _ask_before_ending() -> Callable[[], bool]:
    """Turn SIGTERM into a flag, so that the loop ends between two steps with its state on disk."""
    asked: list[int] = []
    with contextlib.suppress(ValueError):  # not in the main thread: whoever runs the thread handles signals
        signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    return lambda: bool(asked)
