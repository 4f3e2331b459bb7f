"""Images packed once, as the model is to see them, into shards: webdataset tars of some thousand images each.

Captioning the 1.2 million images of the paper (section 3.3) then reads some hundred files and decodes small images
instead of large ones, as often as it is repeated. A square of the right size is not changed again by what makes images
square, so a caption made from a packed image is that of its original.

A shard `00000.tar` holds for each image KEY.webp, lossless, and KEY.json with `path` and `sha256` of the original; KEY
is the path without its suffix, and with dots, at which webdataset ends a key, as %2E. What cannot be decoded is in
`00000.errors.jsonl`. The same images give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import orjson
from PIL import Image

from sharegpt4v.captions.inputs import files_below, manifest_files
from sharegpt4v.errors import UserError, one_line
from sharegpt4v.files import open_atomically, read_json, write_json, write_jsonl
from sharegpt4v.images.loading import open_rgb, read_image_file
from sharegpt4v.ledger import key_of
from sharegpt4v.models.pixels import Squares
from sharegpt4v.progress import Progress

ABOUT = "packing.json"


@dataclass(frozen=True)
class Packing:
    """How images are packed: as squares of `size` pixels by `aspect_ratio` ("pad" or "square"), `per_shard` together.

    `upright` turns them by their EXIF data first.
    """

    size: int
    aspect_ratio: str
    per_shard: int
    upright: bool = False


def find_images(images: Path) -> dict[str, Path]:
    """Return the files by their paths below a folder, or the usable ones of a manifest below its data/, sorted.

    What cannot be read in a folder, such as a broken link, is reported. A `UserError` when there are no images.
    """
    files: dict[str, Path] = {}
    if images.suffix == ".parquet":
        files = manifest_files(images).files
    elif images.is_dir():
        found = files_below(images)
        for name, problem in found.errors.items():
            print(f"{name}: not packed ({problem})", file=sys.stderr)
        files = found.files
    if not files:
        raise UserError(f"{images}: no images in it; expected a folder with images, or the manifest of a source")
    return dict(sorted(files.items()))


def pack(files: Mapping[str, Path], out: Path, packing: Packing, workers: int) -> tuple[int, int]:
    """Write the shards of `files` (path → file) that are not in the folder `out` yet, in `workers` processes.

    Return how many images are packed and how many could not be. A `UserError` when `out` holds shards of other images
    (by their paths and sizes) or of another packing.
    """
    names = list(files)
    about = asdict(packing) | {"images": len(names), "files": key_of([[name, _bytes(files[name])] for name in names])}
    if (out / ABOUT).exists():
        if read_json(out / ABOUT) != about:
            raise UserError(f"{out}: holds shards of other images, or packed otherwise; expected a new folder")
    else:
        write_json(out / ABOUT, about)
    keys = _keys(names)
    parts = [
        range(start, min(start + packing.per_shard, len(names))) for start in range(0, len(names), packing.per_shard)
    ]
    shards = {out / f"{number:05d}.tar": part for number, part in enumerate(parts)}
    missing = {shard: part for shard, part in shards.items() if not shard.exists()}
    done = len(names) - sum(map(len, missing.values()))
    progress = Progress(f"packing into {out}", len(names), "images", done=done)
    with _pool(min(workers, len(missing))) as pool:
        waiting = {}
        for shard, part in missing.items():
            rows = [(keys[place], names[place], files[names[place]]) for place in part]
            waiting[pool.submit(write_shard, shard, rows, packing)] = len(part)
        try:
            for future in as_completed(waiting):
                future.result()
                progress.advance(waiting[future])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    failed = sum(errors.read_bytes().count(b"\n") for shard in shards if (errors := errors_file(shard)).exists())
    return len(names) - failed, failed


def write_shard(shard: Path, rows: Iterable[tuple[str, str, Path]], packing: Packing) -> None:
    """Write one shard of (key, path, file), and beside it what is wrong with those that cannot be decoded."""
    squares, errors = Squares(packing.size, packing.aspect_ratio), []
    with open_atomically(shard) as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for key, path, image in rows:
                try:
                    data = read_image_file(image)
                    packed = webp(squares.prepare(open_rgb(data, packing.upright)))
                except Exception as error:  # whatever Pillow raises
                    errors.append({"path": path, "error": one_line(error)})
                    continue
                about = {"path": path, "sha256": hashlib.sha256(data).hexdigest()}
                _add(tar, f"{key}.json", orjson.dumps(about))
                _add(tar, f"{key}.webp", packed)
        if errors:
            write_jsonl(errors_file(shard), errors)


def webp(image: Image.Image) -> bytes:
    """Return an RGB image as WebP without loss, by the quickest of its methods."""
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=0, method=0)
    return file.getvalue()


def errors_file(shard: Path) -> Path:
    """The path of what could not be packed into a shard."""
    return shard.with_suffix(".errors.jsonl")


def _keys(names: Sequence[str]) -> list[str]:
    """Return a key for each path: without its suffix, unless another one would have the same."""
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in names]
    counts = Counter(stems)
    picked = (stem if counts[stem] == 1 else name for stem, name in zip(stems, names, strict=True))
    return [key.replace("%", "%25").replace(".", "%2E") for key in picked]


def _bytes(file: Path) -> int:
    return file.stat().st_size if file.exists() else -1


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # of no time and no owner
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _pool(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else ThreadPoolExecutor(1)
