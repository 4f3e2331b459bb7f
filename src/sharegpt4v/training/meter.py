"""What a training step prints and records: loss, learning rate, speed, time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from sharegpt4v.errors import printable
from sharegpt4v.files import read_jsonl
from sharegpt4v.progress import duration
from sharegpt4v.record import Record

METRICS, SPEEDS = "metrics.jsonl", "speeds.jsonl"
LEFT_OUT = "left_out"
"""Samples of a step that were left out because their image is broken; not there when none was."""
LEARNED = ("step", "loss", "learning_rate_factor", LEFT_OUT)


class Meter:
    """Smooth the loss, measure the rate, print a line every few seconds."""

    def __init__(self, what: str, steps: int, first: int, every: float = 5.0) -> None:
        self.what, self.steps, self.first, self.every = what, steps, first, every
        self.start = self.last = time.monotonic()
        self.loss: float | None = None
        self.samples = self.tokens = 0

    def step(self, done: int, loss: float, rate: float, samples: int, tokens: int) -> dict[str, float]:
        """Take in one finished step; return its row for the record (speed is since the start of this run)."""
        self.loss = loss if self.loss is None else 0.9 * self.loss + 0.1 * loss
        self.samples += samples
        self.tokens += tokens
        now = time.monotonic()
        elapsed = max(now - self.start, 1e-9)
        if now - self.last >= self.every or done == self.steps:
            self.last = now
            left = elapsed / (done - self.first) * (self.steps - done)
            text = (
                f"{self.what} step {done:,}/{self.steps:,}, loss {self.loss:.3f}, "
                f"{self.samples / elapsed:,.0f} samples/s, "
                f"{self.tokens / elapsed:,.0f} tokens/s, {duration(left)} left"
            )
            print(printable(text), file=sys.stderr, flush=True)
        return {
            "step": done,
            "loss": loss,
            "learning_rate_factor": rate,
            "samples_per_second": self.samples / elapsed,
            "tokens_per_second": self.tokens / elapsed,
        }


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
