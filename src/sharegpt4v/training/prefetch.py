"""The parts of a step, prepared before the step needs them: images decoded and resized, tensors copied to the GPU.

Threads do it, not processes: Pillow and NumPy decode, resize and normalise without Python's lock, so threads are as
fast (benchmarks/input_pipeline.py measures both), start at once, and end with the training whatever ends it. The order
of parts is fixed, so the trained weights do not depend on which image was decoded first.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from sharegpt4v.training.batch_images import BatchImages, Decoded
from sharegpt4v.training.engine import Part
from sharegpt4v.training.meter import Counted
from sharegpt4v.training.packing import Batch

PARTS_AHEAD = 2  # so that a part with large images holds up nobody


class Prefetch:
    """Prepare the parts of steps in threads, a part in each; used as a context, at whose end the threads end."""

    def __init__(
        self,
        steps: Iterable[Sequence[Batch]],
        images: BatchImages | None,
        pad: int,
        decoders: int,
        device: torch.device,
    ) -> None:
        """`steps` are the parts of each step, on the CPU; `PARTS_AHEAD` for each of `decoders` threads are prepared.

        Parts go to `device`. A sample whose image is broken is made of `pad` there, see `Batch.leave_out`.
        """
        self._parts = ((part, part is parts[-1]) for parts in steps for part in parts)
        self._images, self._pad, self._device = images, pad, device
        self._most = PARTS_AHEAD * decoders
        self._on_gpu = device.type == "cuda"
        # A new thread would use the first GPU, also where this process has another.
        start = partial(torch.cuda.set_device, device) if self._on_gpu else None
        self._pool = ThreadPoolExecutor(decoders, "decoder", start)
        self._ahead: deque[tuple[Batch, Future[Decoded], bool]] = deque()
        self._reported: set[Path] = set()
        self.counted = Counted()
        """What the parts of the current step held, as far as they were taken."""

    def step(self) -> Iterator[Part]:
        """Yield the parts of the next step, in their order. A broken image is a `UserError`, or is reported once."""
        self.counted, last = Counted(), False
        while not last:
            start = time.monotonic()
            part, last = self._next()
            self.counted.seconds_waited += time.monotonic() - start
            yield part

    def _next(self) -> tuple[Part, bool]:
        """Return the next part, and whether it is the last of its step."""
        self._submit()
        batch, decoding, last = self._ahead.popleft()
        self._submit()  # one more, to be decoded while this one is learned from
        pixels, broken = decoding.result()
        self._report(broken)
        self.counted.add(batch, batch.leave_out(broken.keys(), self._pad))
        pixels = pixels and {name: self._moved(tensor) for name, tensor in pixels.items()}
        values: dict[str, Any] = {field.name: getattr(batch, field.name) for field in fields(batch)}
        tensors: dict[str, Any] = {
            name: self._moved(value) for name, value in values.items() if isinstance(value, torch.Tensor)
        }
        return (replace(batch, **tensors), pixels), last

    def _submit(self) -> None:
        while len(self._ahead) < self._most and (following := next(self._parts, None)):
            batch, last = following
            self._ahead.append((batch, self._pool.submit(self._decoded, batch), last))

    def _decoded(self, batch: Batch) -> Decoded:
        """Decode the images of a batch, in a thread; their pixels are page-locked when they go to a GPU."""
        if not self._images or not batch.images:
            return Decoded(None, {})
        pixels, broken = self._images(batch.images)
        if pixels and self._on_gpu:
            pixels = {name: tensor.pin_memory() for name, tensor in pixels.items()}
        return Decoded(pixels, broken)

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        """Start the copy to the device; a page-locked tensor is copied while the GPU computes."""
        return tensor.to(self._device, non_blocking=True)

    def _report(self, broken: Mapping[Path, str]) -> None:
        for path, why in broken.items():
            if path not in self._reported:
                self._reported.add(path)
                print(f"{why}; its rows are left out", file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
