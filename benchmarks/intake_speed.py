"""How fast images are taken in, beside a loop that only decodes them on the same cores, and how much memory both need.

    python benchmarks/intake_speed.py --images 60000 --workers 2

draws JPEGs of 640 x 480 pixels, a few hundred scenes saved again and again with other pixels, and reads each once so
that the disk plays no part. Then, in turns and each in a process of its own, workers decode all of them and do nothing
else, and the intake does its work: hash, decode, examine, remember, write manifest and list of findings. It prints both
rates and their ratio, by the clock and by the processors' time (which others on the machine disturb less), the largest
memory of a main process and of a worker, and what the intake's main process had when a quarter was done: that it hardly
grows is what "flat" means.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sharegpt4v import layout
from sharegpt4v.catalogues.sources import Download, Source
from sharegpt4v.config.sources import Sources
from sharegpt4v.images import intake, stage
from sharegpt4v.images.manifest import ManifestRow, read_manifest

SIZE = (640, 480)
SCENES = 250
CHUNK = 64
SOURCE = Source("drawn", "placed", "drawn/images", (Download("here"),), licence="drawn by this script")


def main() -> None:
    """Measure and print; with --only, one measurement inside a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured")
    parser.add_argument("--only", choices=("decode", "intake"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        measure = {"decode": decode_all, "intake": take_all_in}[options.only]
        print(json.dumps(measure(options.folder, options.workers)))
        return
    with tempfile.TemporaryDirectory() as folder:
        size = draw(Path(folder) / "data" / SOURCE.folder, options.images, options.workers)
        print(f"{options.images:,} JPEGs of {SIZE[0]} x {SIZE[1]}, {size / options.images / 1e3:.0f} kB on average")
        report(Path(folder), options)


def report(folder: Path, options: argparse.Namespace) -> None:
    """Measure in turns, so that both see the same machine, and print a line for each and the ratio."""
    clock, processors = {"decode": 0.0, "intake": 0.0}, {"decode": 0.0, "intake": 0.0}
    for number in range(options.rounds):
        for what in clock:
            command = [
                sys.executable,
                __file__,
                "--only",
                what,
                "--folder",
                str(folder),
                "--workers",
                str(options.workers),
            ]
            measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            assert measured["images"] == options.images, measured
            clock[what] += measured["seconds"]
            processors[what] += measured["processor_seconds"]
            memory = ", ".join(f"{name} {value:.0f} MiB" for name, value in measured["memory"].items())
            print(
                f"round {number + 1}, {what}: {options.images / measured['seconds']:,.0f} images/s; {memory}",
                flush=True,
            )
    by_clock, by_processors = (seconds["decode"] / seconds["intake"] for seconds in (clock, processors))
    print(f"the intake reaches {by_clock:.1%} of the decode-only rate; by the processors' time, {by_processors:.1%}")


def draw(folder: Path, count: int, workers: int) -> int:
    """Write the images, and read them; return their bytes."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts = [range(scene, count, SCENES) for scene in range(min(SCENES, count))]
        return sum(pool.map(_draw_scene, [folder] * len(parts), parts))


def _draw_scene(folder: Path, numbers: range) -> int:
    random = np.random.default_rng(numbers.start)
    low = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    scene = Image.fromarray(low).resize(SIZE, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(scene)
    for _ in range(30):
        x, y, wide, high = random.integers(0, 400, 4).tolist()
        pen.ellipse((x, y, x + wide / 2, y + high / 2), fill=tuple(random.integers(0, 256, 3).tolist()))
    pixels = np.asarray(scene).astype(np.int16) + random.integers(-12, 13, (SIZE[1], SIZE[0], 3))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    written = 0
    for number in numbers:
        path = folder / f"{number // 1000:03d}" / f"{number:08d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(pixels, 8 * (number // SCENES), axis=1)).save(path, quality=85)
        written += len(path.read_bytes())
    return written


def decode_all(folder: Path, workers: int) -> dict[str, object]:
    """Decode every image in `workers` processes and do nothing else."""
    files = sorted((folder / "data" / SOURCE.folder).rglob("*.jpg"))
    chunks = [files[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
    start, used = time.monotonic(), _processor_seconds()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        images = sum(pool.map(_decode, chunks))
    seconds, used = time.monotonic() - start, _processor_seconds() - used
    return {"images": images, "seconds": seconds, "processor_seconds": used, "memory": _peaks()}


def _decode(files: list[Path]) -> int:
    for file in files:
        with Image.open(file) as image:
            image.load()
    return len(files)


def take_all_in(folder: Path, workers: int) -> dict[str, object]:
    """Do what the stage `source` does once the files are there."""
    quarter: dict[str, float] = {}
    images = sum(1 for _ in (folder / "data" / SOURCE.folder).rglob("*.jpg"))

    def noting(*arguments: object) -> Iterator[ManifestRow]:
        for number, row in enumerate(intake.ingest(*arguments)):  # type: ignore[arg-type]
            if number == images // 4:
                quarter.update(_peaks())
            yield row

    stage.ingest = noting  # type: ignore[assignment]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        start, used = time.monotonic(), _processor_seconds()
        stage.fetch_source(SOURCE, folder / "data", Path(work), Sources(workers=workers))
        seconds, used = time.monotonic() - start, _processor_seconds() - used
    memory = _peaks() | {"main after a quarter": quarter["main"]}
    rows = read_manifest(layout.manifest(SOURCE.name, folder / "data"))
    good = sum(row["status"] == "ok" and (row["width"], row["height"]) == SIZE for row in rows)
    return {"images": good, "seconds": seconds, "processor_seconds": used, "memory": memory}


def _processor_seconds() -> float:
    """What this process and its workers have used; workers count when they have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peaks() -> dict[str, float]:
    """The largest resident memory so far, in MiB."""
    whose = {"main": resource.RUSAGE_SELF, "largest worker": resource.RUSAGE_CHILDREN}
    return {name: resource.getrusage(who).ru_maxrss / 1024 for name, who in whose.items()}


if __name__ == "__main__":
    main()
