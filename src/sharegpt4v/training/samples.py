"""Training samples on disk: tokenised once, then mapped by every process, so that all share the pages and hold none.

A folder of three files without gaps: the ids of all samples, an image's mark once; the paths of their images; a record
per sample that says where its own end. A negative id is one that is not supervised: the id itself is its complement.
A mark becomes the same ids for every image; or, where they depend on its size, a few thousand different sequences at
most serve millions of images, and the mark is stored as `FIRST_MARK` plus the number of its sequence.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, overload

import numpy as np

from sharegpt4v.files import read_json, write_json
from sharegpt4v.folders import new_folder
from sharegpt4v.image_paths import inside
from sharegpt4v.models.family import Tokens
from sharegpt4v.models.templates import IGNORED, Sample


@dataclass
class Tally:
    """How many rows were read and cut, and how many were left out for which reason."""

    read: int = 0
    cut: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """As told to people: `3 of 1,000 rows cut; 2 left out: several <image> marks for one image`."""
        reasons = "".join(f"; {count:,} left out: {reason}" for reason, count in self.left_out.items())
        return f"{self.cut:,} of {self.read:,} rows cut{reasons}"


FIRST_MARK = 1 << 30  # more than any id of a vocabulary
RECORD = np.dtype([("ids_end", "<i8"), ("image_end", "<i8"), ("length", "<i4"), ("supervised", "<i4")])


class Samples(Sequence[Sample]):
    """The samples of a folder that `write_samples` made; a sample is read when it is asked for, in microseconds."""

    def __init__(self, folder: Path, data: Path) -> None:
        """Images are below `data`."""
        about = read_json(folder / "about.json")
        self.images: int = about["images"]
        self.rows: dict[str, Any] = about["rows"]
        self._image_id, self._image_tokens, self._data = about["image_id"], about["image_tokens"], data
        self._visual = [[one for one, times in runs for _ in range(times)] for runs in about.get("visual", ())]
        self._ids, self._paths = _mapped(folder / "ids.bin", "<i4"), _mapped(folder / "images.bin", "<u1")
        self._records = _mapped(folder / "records.bin", RECORD)

    @property
    def image_tokens(self) -> int:
        """The most ids that an image's mark becomes."""
        return max((len(ids) for ids in self._visual), default=self._image_tokens)

    @property
    def lengths(self) -> list[int]:
        """The number of ids of each sample."""
        return self._records["length"].tolist()  # type: ignore[no-any-return]

    @property
    def supervised(self) -> list[int]:
        """How many labels of each sample are supervised."""
        return self._records["supervised"].tolist()  # type: ignore[no-any-return]

    @property
    def with_image(self) -> list[bool]:
        """Whether each sample has an image."""
        return (np.diff(self._records["image_end"], prepend=0) > 0).tolist()  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        ids_end, image_end, _, _ = self._records[index].item()
        ids_start, image_start, *_ = self._records[index - 1].item() if index else (0, 0)
        stored = self._ids[ids_start:ids_end]
        ids = np.where(stored < 0, ~stored, stored)
        labels = np.where(stored < 0, IGNORED, stored)
        path = self._paths[image_start:image_end].tobytes().decode()
        if path:
            if self._visual:
                return self._by_size(ids, labels, inside(self._data, path))
            repeats = np.where(ids == self._image_id, self._image_tokens, 1)
            ids, labels = np.repeat(ids, repeats), np.repeat(labels, repeats)
        return Sample(ids.tolist(), labels.tolist(), inside(self._data, path) if path else None)

    def _by_size(self, ids: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], image: Path) -> Sample:
        """Put the ids of an image in the place of its mark."""
        place = int(ids.argmax())
        visual = self._visual[ids[place] - FIRST_MARK]
        return Sample(
            [*ids[:place].tolist(), *visual, *ids[place + 1 :].tolist()],
            [*labels[:place].tolist(), *[IGNORED] * len(visual), *labels[place + 1 :].tolist()],
            image,
        )


def write_samples(folder: Path, rows: Iterable[Tokens], image_id: int, image_tokens: int, tally: Tally) -> None:
    """Write tokenised rows as a stream; the `image_id` of a row stands for `image_tokens` ids of its sample.

    Where a row says by `visual` what ids it stands for, those count. `tally` is what `rows` counts while it is read.
    """
    images: set[str] = set()
    sequences: dict[tuple[int, ...], int] = {}
    ids_end = image_end = 0
    with new_folder(folder) as new:
        with (
            open(new / "ids.bin", "wb") as ids,
            open(new / "images.bin", "wb") as paths,
            open(new / "records.bin", "wb") as records,
        ):
            for row in rows:
                stored, labels = np.array(row.ids, "<i4"), np.array(row.labels, "<i4")
                if row.visual:
                    number = sequences.setdefault(tuple(row.visual), len(sequences))
                    stored[stored == image_id] = FIRST_MARK + number
                ids_end += ids.write(np.where(labels == IGNORED, ~stored, stored).tobytes()) // stored.itemsize
                image_end += paths.write((row.image or "").encode())
                length = len(labels) + ((len(row.visual) or image_tokens) - 1 if row.image else 0)
                supervised = np.count_nonzero(labels[1:] != IGNORED)
                records.write(np.array((ids_end, image_end, length, supervised), RECORD).tobytes())
                images.update([row.image] if row.image else [])
        counted = {"read": tally.read, "cut": tally.cut, "left_out": dict(tally.left_out)}
        about = {"image_id": image_id, "image_tokens": image_tokens, "images": len(images), "rows": counted}
        visual = [[[one, len(list(run))] for one, run in groupby(ids)] for ids in sequences]
        write_json(new / "about.json", about | ({"visual": visual} if visual else {}))


def lengths_of(samples: Sequence[Sample]) -> list[int]:
    """Return the number of ids of each sample, without reading those that lie on disk."""
    return samples.lengths if isinstance(samples, Samples) else [len(sample.ids) for sample in samples]


def learned_of(samples: Sequence[Sample]) -> list[int]:
    """Return how many labels of each sample are supervised, without reading those that lie on disk."""
    return samples.supervised if isinstance(samples, Samples) else [sample.supervised for sample in samples]


def with_image_of(samples: Sequence[Sample]) -> list[bool]:
    """Return whether each sample has an image, without reading those that lie on disk."""
    return samples.with_image if isinstance(samples, Samples) else [sample.image is not None for sample in samples]


def _mapped(path: Path, kind: Any) -> np.ndarray[Any, Any]:
    """Map a file into memory; one without content cannot be mapped."""
    if not os.path.getsize(path):
        return np.empty(0, kind)
    return np.memmap(path, kind, "r").view(np.ndarray)
