"""How long a training step waits for its images, decoded ahead by threads, by processes, and not ahead.

    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --stage finetuning --workers 1 2 4 --steps 60

writes JPEGs of the sizes that a stage's images have, in their shares: file sizes are those of config/sources.tsv (bytes
by images); widths and heights are our assumption, see `MIX`. It deals them into steps as training does and takes the
steps by `training.prefetch` and by the obvious alternatives: the same loop that decodes when it needs an image, and
torch's DataLoader with worker processes. The GPU is a fake: for each part of a step a sleep of `--step` times what its
images take to decode on one core. It prints the CPU time of an image, and for each way the share of time that was
waiting, its ratio to the synchronous loop, images per second without any step, and whether batches are equal bit by
bit; also how much longer a fake step takes that does small operations instead of sleeping, and so contends for Python's
lock and the cores. Then, computed from the CPU time, how many workers feed an H100 at 50 % MFU. Exit code 1 when
batches differ, or when prefetching waits as long as the synchronous loop.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image

from sharegpt4v.catalogues.hardware import read_hardware
from sharegpt4v.config import Config
from sharegpt4v.config.loading import load
from sharegpt4v.layout import PROJECT
from sharegpt4v.models.device import one_thread
from sharegpt4v.models.llava_flops import training_row
from sharegpt4v.models.pixels import Squares
from sharegpt4v.models.templates import Sample
from sharegpt4v.training.batch_images import BatchImages
from sharegpt4v.training.batching import Dealer, batches
from sharegpt4v.training.packing import Batch
from sharegpt4v.training.prefetch import Prefetch
from sharegpt4v.training.ranks import SINGLE_RANK

# Width, height, bytes of a file, images of the stage in thousands. Counts: datasets.csv and the published mix.
MIX = {
    "pretraining": {
        "SA-1B, short side 1500": (2250, 1500, 1_010_000, 570),
        "COCO": (640, 480, 163_000, 118),
        "LCS, about 400": (450, 340, 49_000, 558),
    },
    "finetuning": {
        "COCO": (640, 480, 163_000, 365),
        "Visual Genome": (600, 450, 141_000, 86),
        "GQA": (600, 450, 147_000, 72),
        "OCR-VQA, book covers": (350, 500, 40_000, 80),
        "TextVQA": (1024, 768, 253_000, 22),
        "SA-1B, short side 1500": (2250, 1500, 1_010_000, 9),
    },
}
DIFFERENT = 3  # files of each kind; copies have names of their own
TEXT = {"pretraining": 188, "finetuning": 224}  # tokens, as config/assumptions.tsv says
MFU, SIDE, VISUAL, OF_STEP = 0.5, 336, 576, 16


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=MIX, default="pretraining")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="threads, and processes, to try")
    parser.add_argument("--steps", type=int, default=8, help=f"steps of {OF_STEP} images")
    parser.add_argument("--step", type=float, default=1.5, help="length of a fake step, in times of its decoding")
    options = parser.parse_args()
    one_thread()
    config = load(PROJECT / "config" / "paper-7b.yaml")
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(config, options.stage, draw(options.stage, options.steps * OF_STEP, Path(folder)))
        cpu = trial.cpu_seconds_of_an_image()
        print(f"{options.stage}: {cpu * 1e3:.1f} ms of CPU time an image; load of the machine {os.getloadavg()[0]:.1f}")
        of_part = options.step * cpu * OF_STEP * trial.dealer.step_count() / trial.parts
        fake, busy = partial(time.sleep, of_part), small_operations(of_part)
        alone, _, expected = trial.waited(trial.synchronous(), fake)
        _, undisturbed, _ = trial.waited(trial.synchronous(), busy)
        print(f"synchronous: {alone:.0%} of the time is waiting; {trial.rate(trial.synchronous()):.1f} images/s")
        good = True
        for workers in options.workers:
            for name, make in (("threads", trial.threads), ("processes", trial.processes)):
                share, _, found = trial.waited(make(workers), fake)
                _, disturbed, _ = trial.waited(make(workers), busy)
                same = equal(expected, found)
                good &= same and (name == "processes" or share < alone)
                print(
                    f"{workers} {name}: {share:.0%} waiting ({share / alone:.2f} of synchronous); "
                    f"{trial.rate(make(workers)):.1f} images/s with start-up; a busy main thread takes "
                    f"{disturbed / undisturbed:.2f} times as long; batches {'equal' if same else 'DIFFER'}"
                )
        needed(config, options.stage, cpu)
    sys.exit(not good)


def draw(stage: str, count: int, folder: Path) -> list[Path]:
    """Write as many images, of the stage's kinds in their shares, in an order that is shuffled."""
    kinds, generator = MIX[stage], np.random.default_rng(0)
    total = sum(kind[3] for kind in kinds.values())
    files = []
    for number, (width, height, size, share) in enumerate(kinds.values()):
        pictures = [jpeg(width, height, size, generator) for _ in range(DIFFERENT)]
        for copy in range(max(1, round(count * share / total))):
            files.append(folder / f"{number}-{copy}.jpg")
            files[-1].write_bytes(pictures[copy % DIFFERENT])
    Random(0).shuffle(files)
    return files


def jpeg(width: int, height: int, size: int, generator: np.random.Generator) -> bytes:
    """An image of blobs of all sizes and noise, of the quality that makes a file of about `size` bytes."""
    drawn = generator.normal(128, 6, (height, width, 3)).astype(np.float32)
    for cells in (4, 16, 64, 256):
        shape = (height * cells // 1500 + 2, width * cells // 1500 + 2, 3)
        coarse = Image.fromarray(generator.normal(128, 40, shape).clip(0, 255).astype(np.uint8))
        drawn += 0.7 * (np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32) - 128)
    image = Image.fromarray(drawn.clip(0, 255).astype(np.uint8))
    low, high, best = 5, 97, b""
    while low < high:
        quality, file = (low + high) // 2, io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        best = file.getvalue()
        low, high = (quality + 1, high) if len(best) < size else (low, quality)
    return best


class Parts(torch.utils.data.Dataset[Any]):
    """The images of parts of steps, as a DataLoader's workers take them."""

    def __init__(self, images: BatchImages, parts: Sequence[Sequence[Path]]) -> None:
        self.images, self.parts = images, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Any:
        return self.images(self.parts[index]).pixels


class Trial:
    """Steps over some images, by the paper's recipe for a stage on one process, at most `rows_at_once` rows a part."""

    def __init__(self, config: Config, stage: str, files: Sequence[Path]) -> None:
        recipe = getattr(config, stage).model_copy(update={"batch_size": OF_STEP, "loss_parts": 1})
        length = VISUAL + TEXT[stage]
        self.files = files
        self.samples = [Sample([1] * length, [1] * length, file) for file in files]
        self.dealer = Dealer.of(self.samples, recipe, 0, recipe.sequence_length - 1 + VISUAL)
        self.at_once = config.compute.rows_at_once
        self.parts = sum(len(parts) for parts in self.steps())
        # As with millions of images: none is kept.
        self.images = BatchImages(1 << 40, Squares(SIDE, recipe.image_aspect_ratio))

    def steps(self) -> Iterator[list[Batch]]:
        """The parts of each step."""
        return batches(self.samples, self.dealer, 0, self.dealer.step_count(), 0, SINGLE_RANK, self.at_once)

    def synchronous(self) -> Iterator[Any]:
        """Decode what a part needs when it needs it."""
        return (self.images(part.images).pixels for parts in self.steps() for part in parts)

    def threads(self, workers: int) -> Iterator[Any]:
        """Decode ahead as training does."""
        with Prefetch(self.steps(), self.images, 0, workers, torch.device("cpu")) as ahead:
            for _ in range(self.dealer.step_count()):
                for _, pixels in ahead.step():
                    yield pixels

    def processes(self, workers: int) -> Iterator[Any]:
        """Decode ahead by torch's DataLoader, whose workers are forked: the fastest start, but not beside CUDA."""
        parts = Parts(self.images, [part.images for parts in self.steps() for part in parts])
        return iter(torch.utils.data.DataLoader(parts, batch_size=None, num_workers=workers))

    def cpu_seconds_of_an_image(self) -> float:
        """CPU time of this thread, which other work on the machine hardly changes."""
        start = time.thread_time()
        for part in self.synchronous():
            del part
        return (time.thread_time() - start) / len(self.files)

    def waited(self, parts: Iterator[Any], learn: Callable[[], None]) -> tuple[float, float, list[Any]]:
        """Learn from parts; return the share of the time that was waiting, the seconds of learning, and the parts.

        The first part is not timed: processes start meanwhile.
        """
        found = [next(parts)]
        learn()
        waiting, start = 0.0, time.perf_counter()
        while True:
            before = time.perf_counter()
            part = next(parts, None)
            waiting += time.perf_counter() - before
            if part is None:
                whole = time.perf_counter() - start
                return waiting / whole, whole - waiting, found
            found.append(part)
            learn()

    def rate(self, parts: Iterator[Any]) -> float:
        """Images per second when nothing else is to be done, start-up included."""
        start = time.perf_counter()
        for part in parts:
            del part
        return len(self.files) / (time.perf_counter() - start)


def small_operations(seconds: float) -> Callable[[], None]:
    """Return what does small operations, which hold Python's lock as launching kernels does, for about so long."""
    ones = torch.ones(8)

    def some(count: int) -> None:
        for _ in range(count):
            ones.add_(0)

    start = time.thread_time()
    some(100_000)
    count = round(100_000 * seconds / (time.thread_time() - start))
    return lambda: some(count)


def equal(expected: Sequence[Any], found: Sequence[Any]) -> bool:
    """Whether the parts hold the same pixels, bit by bit."""
    return all(a["pixel_values"].equal(b["pixel_values"]) for a, b in zip(expected, found, strict=True))


def needed(config: Config, stage: str, cpu: float) -> None:
    """Print how many workers keep an H100 busy; computed, no GPU is asked."""
    flops = training_row(config.base_models, "7b", getattr(config, stage), TEXT[stage])
    rate = MFU * read_hardware()["H100"].flops / flops
    print(
        f"computed: an H100 at {MFU:.0%} MFU takes {rate:.1f} samples/s of {flops:.3g} operations (7B); at "
        f"{cpu * 1e3:.1f} ms an image that is {rate * cpu:.1f} workers; compute.decoders is {config.compute.decoders}"
    )


if __name__ == "__main__":
    main()
