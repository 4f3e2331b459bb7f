"""The synthetic world as files: every archive, URL list, annotation file and benchmark that the catalogue names.

It stands in for the download page of the paper's data (its section 3.2). What a picture shows is written to a file of
its own, outside the folder that is served, for the teacher alone.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import orjson

from sharegpt4v.catalogues.sources import MINI, Source
from sharegpt4v.config.mini import InstructionRows
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_jsonl, write_text
from sharegpt4v.mini.annotations import Drawn, write_annotations
from sharegpt4v.mini.draw import draw, jpeg_bytes
from sharegpt4v.mini.evaluation import write_benchmarks
from sharegpt4v.mini.packing import Member, write_tar, write_zip
from sharegpt4v.mini.scene import now_and_then_flawed, sample_scene
from sharegpt4v.progress import Progress

ENLARGED = {"sam": 2}  # SA-1B's photographs are much larger than the others
ONE_DEAD_URL_IN = 50
CUT_IN = "sam"  # this source has one picture more, whose file is cut in the middle ...
CUT_FROM = 100  # ... when it has so many that one does not matter


def write_world(
    out: Path,
    scenes: Path,
    sources: Mapping[str, Source],
    images: Mapping[str, int],
    rows: InstructionRows,
    seed: int,
    pixels: int,
    questions_per_benchmark: int,
) -> None:
    """Draw `images` (source → number of usable pictures) and write the world into the folder `out`, to be served.

    `sources` is the catalogue, which says how each source is packed; `scenes` becomes a JSON-lines file, outside
    `out`, of {sha256 of a picture's file, source, scene}. Pictures are squares of `pixels` (a multiple of it for some
    sources). `out` appears when it is complete; an older one is replaced. Equal arguments give equal bytes.
    `UserError` for a source that the catalogue does not pack here, or for fewer pictures (but not 0) than archives.
    """
    for name, count in images.items():
        _check(name, count, sources)
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    progress = Progress("draw the synthetic world", sum(images.values()), "pictures")
    drawn: dict[str, list[Drawn]] = {}
    known: list[dict[str, Any]] = []
    for name, count in images.items():
        if count == 0:
            continue
        drawn[name], contents = draw_source(sources[name], count, seed, pixels * ENLARGED.get(name, 1))
        known += [
            {"sha256": hashlib.sha256(content).hexdigest(), "source": name, "scene": one.scene.to_json()}
            for one, content in zip(drawn[name], contents, strict=True)
        ]
        members = [(one.name, content) for one, content in zip(drawn[name], contents, strict=True)]
        if name == CUT_IN and count >= CUT_FROM:
            members.append((picture_name(name, count), contents[0][: len(contents[0]) // 2]))
        pack(unfinished, sources[name], members)
        progress.advance(count)
    write_annotations(unfinished, drawn, rows, seed, pixels)
    write_benchmarks(unfinished / "eval/eval.zip", questions_per_benchmark, seed, pixels)
    write_jsonl(scenes, known)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


def draw_source(source: Source, count: int, seed: int, pixels: int) -> tuple[list[Drawn], list[bytes]]:
    """Draw the first `count` pictures of a source; each depends on its number and not on how many there are."""
    drawn, contents = [], []
    for number in range(count):
        random = Random(f"{seed}/{source.name}/{number}")
        scene = now_and_then_flawed(sample_scene(source.name, random), random)
        name = picture_name(source.name, number)
        drawn.append(Drawn(f"{source.folder}/{name}", name, scene))
        contents.append(jpeg_bytes(draw(scene, random, pixels)))
    return drawn, contents


def picture_name(source: str, number: int) -> str:
    """Return the path of a picture inside its source's folder, in the way the source names its files."""
    match source:
        case "coco":
            return f"{9 + 16 * number:012d}.jpg"
        case "llava":  # the folder is the first five of nine digits
            name = f"{1237 * (number + 1):09d}"
            return f"{name[:5]}/{name}.jpg"
        case "sam":
            return f"sa_{number + 1}.jpg"
        case "textvqa" | "share_textvqa":
            return f"{hashlib.sha256(f'{source}/{number}'.encode()).hexdigest()[:16]}.jpg"
        case "ocr_vqa":
            return f"{number + 1:010d}.jpg"
        case "gqa":
            return f"{2_300_000 + number}.jpg"
        case "vg":  # the catalogue's two archives take turns, and so do their folders
            return f"{('VG_100K', 'VG_100K_2')[number % 2]}/{number + 1}.jpg"
        case _:
            return f"{source.removeprefix('web-')}_{number:05d}.jpg"


def pack(world: Path, source: Source, members: Sequence[Member]) -> None:
    """Write a source's archives below `world`, its members dealt out in turn, or its URL list and what it names."""
    addresses = [download.address.removeprefix(MINI) for download in source.downloads]
    for part, address in enumerate(addresses):
        dealt = [(source.strip_prefix + name, content) for name, content in members[part :: len(addresses)]]
        PACKERS[source.kind](world, address, _with_masks(dealt) if source.name == "sam" else dealt)


def _write_zip(world: Path, address: str, members: Iterable[Member]) -> None:
    write_zip(world / address, members)


def _write_tar(world: Path, address: str, members: Iterable[Member]) -> None:
    write_tar(world / address, members)


def _with_masks(members: Iterable[Member]) -> Iterator[Member]:
    """SA-1B's archives have a file of masks beside each picture."""
    for name, content in members:
        yield name, content
        about = {"image": {"file_name": name}, "annotations": []}
        yield name.replace(".jpg", ".json"), orjson.dumps(about)


def _write_urls(world: Path, address: str, members: Iterable[Member]) -> None:
    """Write pictures as single files, and the list of their URLs with some dead ones among them."""
    folder = (world / address).parent / "files"
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (name, content) in enumerate(members, start=1):
        (folder / name).write_bytes(content)
        lines.append(name)
        if number % ONE_DEAD_URL_IN == 0:
            lines.append(f"gone_{name}")
    prefix = MINI + (folder.relative_to(world)).as_posix()
    write_text(world / address, "url\tname\n" + "".join(f"{prefix}/{name}\t{name}\n" for name in lines))


PACKERS = {"zip": _write_zip, "tar": _write_tar, "urls": _write_urls}  # by kind of source


def _check(name: str, count: int, sources: Mapping[str, Source]) -> None:
    source = sources.get(name)
    if source is None or source.kind not in PACKERS or source.images == 0:
        raise UserError(f"images of {name!r} cannot be drawn; expected a source of images in archives or URL lists")
    strangers = [download.address for download in source.downloads if not download.address.startswith(MINI)]
    if strangers:
        raise UserError(f"images of {name!r} are at {strangers[0]}; expected an address that begins with {MINI}")
    if 0 < count < len(source.downloads):
        raise UserError(f"{count} images of {name!r}; expected at least {len(source.downloads)}, one per archive")
