"""How fast images are decoded and made square from packed shards, and from the originals.

    python benchmarks/packing.py --images 400

draws JPEGs of 640 x 480 pixels with the detail of photographs, packs them as `s4v pack` does, for a tower of 336
pixels, and then prepares all of them in turns in one process: the originals by decoding and making square, and the
members of the shards by the same functions, which leave them as they are. It prints the milliseconds of a processor per
image, their ratio, the bytes, how many images have equal pixels, and what packing itself takes. Beside the format of
the shards it measures PNG, which they could have been.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sharegpt4v.captions.packing import Packing, find_images, pack
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.pixels import Squares

LARGE = (640, 480)
SQUARES = Squares(336, "square")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder) / "originals", options.images)
        report(find_images(Path(folder) / "originals"), Path(folder) / "packed", options.rounds)


def report(files: dict[str, Path], out: Path, rounds: int) -> None:
    """Pack, measure in turns, and print."""
    began, used = time.monotonic(), time.process_time()
    pack(files, out, Packing(SQUARES.size, SQUARES.aspect_ratio, max(1, len(files) // 4)), workers=1)
    seconds, used = time.monotonic() - began, time.process_time() - used
    print(f"packing: {len(files) / seconds:.0f} images/s, {1000 * used / len(files):.1f} ms of a processor each")
    shards = sorted(out.glob("*.tar"))
    originals: dict[str, Callable[[], Iterator[bytes]]] = {
        "originals": lambda: (file.read_bytes() for file in files.values()),
        "packed": lambda: packed(shards),
    }
    pngs = [png(content) for content in packed(shards)]
    kinds = originals | {"packed as PNG": lambda: iter(pngs)}
    pixels = {name: [prepare(data).tobytes() for data in read()] for name, read in kinds.items()}
    equal = sum(len(set(same)) == 1 for same in zip(*pixels.values(), strict=True))
    print(f"equal pixels: {equal} of {len(files)}")
    best = {name: min(measure(read) for _ in range(rounds)) for name, read in kinds.items()}
    for name, read in kinds.items():
        size = np.mean([len(data) for data in read()]) / 1000
        print(f"{name:14} {size:6.0f} kB {best[name]:6.2f} ms of a processor per image")
    for name in list(kinds)[1:]:
        print(f"{name}: {best['originals'] / best[name]:.2f} times as fast as the originals")


def measure(read: Callable[[], Iterator[bytes]]) -> float:
    """Return the milliseconds of a processor that reading, decoding and making square take per image."""
    used, count = time.process_time(), 0
    for data in read():
        prepare(data).load()
        count += 1
    return 1000 * (time.process_time() - used) / count


def prepare(data: bytes) -> Image.Image:
    """Make an image what the model sees."""
    return SQUARES.prepare(open_rgb(data))


def packed(shards: Sequence[Path]) -> Iterator[bytes]:
    """Yield the images of the shards."""
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".webp"):
                    file = tar.extractfile(member)
                    assert file is not None
                    yield file.read()


def png(data: bytes) -> bytes:
    """Return an image as PNG, at the level that is quickest to write."""
    file = io.BytesIO()
    open_rgb(data).save(file, "PNG", compress_level=1)
    return file.getvalue()


def draw(folder: Path, count: int) -> None:
    """Write JPEGs with structure at every scale: noise of many sizes, added up, and the coarser the stronger."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        image = np.zeros((LARGE[1], LARGE[0], 3))
        for octave in range(2, 8):
            size = (5 * 2**octave, 4 * 2**octave)
            noise = Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
            image += (np.asarray(noise.resize(LARGE, Image.Resampling.BICUBIC), np.float64) - 128) * 1.6**-octave
        pixels = np.clip(128 + 128 * image / np.abs(image).max(), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06d}.jpg", quality=88)


if __name__ == "__main__":
    main()
