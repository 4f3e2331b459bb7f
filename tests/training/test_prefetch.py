"""Parts of steps prepared ahead: the same, in the same order, never too many; threads end with the context."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from PIL import Image

from image_files import encoded
from sharegpt4v.errors import UserError
from sharegpt4v.models.pixels import Squares
from sharegpt4v.models.templates import Sample
from sharegpt4v.training.batch_images import BatchImages
from sharegpt4v.training.packing import Batch, collate
from sharegpt4v.training.prefetch import PARTS_AHEAD, Prefetch

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Uneven(Squares):
    """Light images take longest, and dark ones come first out of the threads."""

    def prepare(self, image: Image.Image) -> Image.Image:
        time.sleep(image.getpixel((0, 0))[0] / 5000)  # type: ignore[index]
        return super().prepare(image)


@dataclass
class Steps:
    """Steps of one or two parts with two samples each; `taken` counts the parts that were asked for."""

    files: Sequence[Path]
    taken: int = 0
    sizes: list[int] = field(default_factory=lambda: [1, 2, 2, 1])

    def __iter__(self) -> Iterator[list[Batch]]:
        samples = [Sample([7, 8, 9], [7, 8, 9], file) for file in self.files]
        parts = [collate(samples, [[at, at + 1]], 8, 0, dict.fromkeys(range(12), 0.5)) for at in range(0, 12, 2)]
        for size in self.sizes:
            self.taken += size
            yield [parts.pop(0) for _ in range(size)]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Images from light to dark."""
    paths = [tmp_path / f"{number:02}.png" for number in range(12)]
    for number, path in enumerate(paths):
        path.write_bytes(encoded(Image.new("RGB", (9, 5), (250 - 20 * number,) * 3), "PNG"))
    return paths


def decoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decoder")]


def test_parts_come_in_order_and_not_too_many_ahead(files: list[Path]) -> None:
    images = BatchImages(1 << 40, Uneven(4, "pad"))
    steps = Steps(files)
    found = []
    with Prefetch(steps, images, 0, 1, CPU) as prefetch:
        for size in steps.sizes:
            parts = list(prefetch.step())
            assert len(parts) == size and prefetch.counted.samples == 2 * size
            assert 0 <= prefetch.counted.seconds_waited < 60 and prefetch.counted.positions == 8 * size
            found += parts
            assert steps.taken <= len(found) + PARTS_AHEAD + 1  # steps are read whole
        assert decoders()
    assert not decoders()
    assert [image for batch, _ in found for image in batch.images] == files
    for batch, pixels in found:
        alone = images(batch.images).pixels
        assert pixels and alone and pixels["pixel_values"].equal(alone["pixel_values"])


def test_a_broken_image_is_an_error_of_its_own_part_and_ends_the_threads(files: list[Path]) -> None:
    files[4].write_bytes(files[4].read_bytes()[:40])
    with Prefetch(Steps(files), BatchImages(12, Squares(4, "pad")), 0, 3, CPU) as prefetch:
        assert len(list(prefetch.step())) == 1
        parts = prefetch.step()
        next(parts)
        with pytest.raises(UserError, match=r"04\.png: the image cannot be decoded"):
            next(parts)
    assert not decoders()


def test_what_is_left_out_is_told_once_and_counts_nothing(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files[4:6] = [files[1], files[1]]
    files[1].write_bytes(b"none")
    with Prefetch(Steps(files), BatchImages(12, Squares(4, "pad"), leaves_out=True), 0, 2, CPU) as prefetch:
        counts = []
        for _ in range(3):
            parts = list(prefetch.step())
            one = prefetch.counted
            counts.append((one.samples, one.tokens, one.squared_tokens, one.images, one.left_out))
            assert all((pixels is None) == (set(batch.images) == {files[1]}) for batch, pixels in parts)
    assert counts == [(1, 3, 9, 1, 1), (2, 6, 18, 2, 2), (4, 12, 36, 4, 0)]
    assert capsys.readouterr().err.count("its rows are left out") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_parts_are_on_the_gpu(files: list[Path]) -> None:
    with Prefetch(Steps(files), BatchImages(12, Squares(4, "pad")), 0, 2, torch.device("cuda", 0)) as prefetch:
        [(batch, pixels)] = prefetch.step()
    assert batch.ids.is_cuda and pixels and pixels["pixel_values"].is_cuda
