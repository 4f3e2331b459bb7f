"""What a training step prints and records: loss, learning rate, speed, use of the device, time left."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from sharegpt4v.catalogues.hardware import flops_of_gpu
from sharegpt4v.errors import printable
from sharegpt4v.files import read_jsonl
from sharegpt4v.models.llava_flops import Operations
from sharegpt4v.progress import duration
from sharegpt4v.record import Record
from sharegpt4v.training.packing import Batch

METRICS, SPEEDS = "metrics.jsonl", "speeds.jsonl"
LEFT_OUT = "left_out"
"""Samples of a step that were left out because their image is broken; not there when none was."""
LEARNED = ("step", "loss", "learning_rate_factor", LEFT_OUT)


@dataclass
class Counted:
    """What a process took in in a step; the sums over all processes are those of the step.

    `positions` are tokens and padding; `squared_tokens` sums the squares of the samples' tokens.
    """

    samples: float = 0.0
    tokens: float = 0.0
    squared_tokens: float = 0.0
    positions: float = 0.0
    images: float = 0.0
    left_out: float = 0.0
    seconds_waited: float = 0.0

    def add(self, batch: Batch, left_out: int) -> None:
        """Add a batch of which so many samples were left out, see `Batch.leave_out`."""
        self.samples += len(batch.lengths)
        self.tokens += sum(batch.lengths)
        self.squared_tokens += sum(length**2 for length in batch.lengths)
        self.positions += batch.ids.numel()
        self.images += len(batch.images) - left_out
        self.left_out += left_out


class Meter:
    """Smooth the loss, measure each step, print a line every few seconds."""

    def __init__(
        self,
        what: str,
        steps: int,
        first: int,
        device: torch.device,
        processes: int = 1,
        operations: Operations | None = None,
        every: float = 5.0,
    ) -> None:
        """Of `steps` steps `first` are done. `operations` are those of the model, for the share of the peak (MFU)."""
        self.what, self.steps, self.first, self.every = what, steps, first, every
        self.device, self.processes, self.operations = device, processes, operations
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        self.peak_flops = flops_of_gpu(name)
        self.start = self.before = self.last = time.monotonic()
        self.loss: float | None = None

    def step(self, done: int, loss: float, rate: float, counted: Counted) -> dict[str, float]:
        """Take in one finished step of all processes; return its row for the record.

        Speeds and shares are of this step alone: `tokens_per_second` counts no padding, `real_tokens` is their share of
        all positions, `waiting` the share of the time in which processes waited for data, `mfu` the operations of the
        model by the formula of `s4v plan` as a share of the devices' bfloat16 peak; it is not there where either is
        unknown. `peak_memory_gb` is that of the first process since it started: on the GPU, or else of the process.
        """
        now = time.monotonic()
        seconds, self.before = max(now - self.before, 1e-9), now
        row = {
            "step": done,
            "loss": loss,
            "learning_rate_factor": rate,
            "samples_per_second": counted.samples / seconds,
            "tokens_per_second": counted.tokens / seconds,
            "real_tokens": counted.tokens / max(counted.positions, 1),
            "waiting": counted.seconds_waited / (seconds * self.processes),
            "peak_memory_gb": peak_memory(self.device) / 1e9,
            "seconds_left": (now - self.start) / (done - self.first) * (self.steps - done),
        }
        if self.operations and self.peak_flops:
            flops = self.operations.of(counted.tokens, counted.squared_tokens, counted.images)
            row["mfu"] = flops / (seconds * self.peak_flops * self.processes)
        if counted.left_out:
            row[LEFT_OUT] = round(counted.left_out)
        self.loss = loss if self.loss is None else 0.9 * self.loss + 0.1 * loss
        if now - self.last >= self.every or done == self.steps:
            self.last = now
            print(printable(self._line(row | {"loss": self.loss})), file=sys.stderr, flush=True)
        return row

    def _line(self, row: Mapping[str, float]) -> str:
        parts = [
            f"{self.what} {row['step']:,}/{self.steps:,}",
            f"loss {row['loss']:.3f}",
            f"rate {row['learning_rate_factor']:.2f}",
            f"{row['samples_per_second']:,.1f} samples/s",
            f"{row['tokens_per_second']:,.0f} tok/s ({row['real_tokens']:.0%} real)",
            *([f"MFU {row['mfu']:.0%}"] if "mfu" in row else []),
            f"{row['peak_memory_gb']:.1f} GB",
            f"{row['waiting']:.0%} waiting",
            f"{duration(row['seconds_left'])} left",
        ]
        return ", ".join(parts)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that were allocated on a GPU; for the CPU, that this process had in memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Records(ExitStack):
    """The rows of a training as two records in `folder`, each with the `step`.

    `METRICS` holds the losses, and is equal when the same is trained again; so it may lie in the checkpoint.
    `SPEEDS` holds all else of a row, which differs from time to time.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._metrics, self._speeds = (self.enter_context(Record(folder / name)) for name in (METRICS, SPEEDS))

    def log(self, row: Mapping[str, float]) -> None:
        """Append a row of `Meter.step` to both."""
        self._metrics.log({name: row[name] for name in LEARNED if name in row})
        self._speeds.log({name: value for name, value in row.items() if name == "step" or name not in LEARNED})

    def left_out(self) -> int:
        """Count the samples that were left out for a broken image, also before the training was continued."""
        return sum(int(row.get(LEFT_OUT, 0)) for row in read_jsonl(self.folder / METRICS))
