"""The caption sets that a run uses, each read as a stream: an image, its caption, and why the gate rejected it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v import layout, lineage
from sharegpt4v.config import Config
from sharegpt4v.corpora.rejected import rejected_captions
from sharegpt4v.corpora.rows import caption_of
from sharegpt4v.files import read_json
from sharegpt4v.llava_format.checks import check_annotation
from sharegpt4v.llava_format.reading import read_array, read_shard
from sharegpt4v.pipeline.targets import shards

COCO_IMAGES = "coco/train2017"


@dataclass(frozen=True)
class Entry:
    """A caption: `image` is a path below data/, `reason` says why the gate rejected it, empty where it did not."""

    image: str
    text: str
    reason: str = ""


@dataclass(frozen=True)
class CaptionSet:
    """A set by the name that the report gives it; `entries` reads it from the start."""

    name: str
    entries: Callable[[], Iterator[Entry]]


def caption_sets(config: Config) -> list[CaptionSet]:
    """Return the sets that the config names and that are in this folder, from short captions to the captioner's."""
    sources, learned = layout.sources(config), lineage.corpora(config)
    found = []
    if learned and "coco-captions" in sources and layout.COCO_CAPTIONS.exists():
        found.append(CaptionSet("short, by people", _coco))
    if learned and "llava-captions" in sources and layout.SHORT_CAPTIONS.exists():
        prefix = f"{layout.SHORT_CAPTION_IMAGES.relative_to(layout.DATA).as_posix()}/"
        found.append(CaptionSet("short", lambda: _llava(layout.SHORT_CAPTIONS, prefix)))
    if learned and "llava-detail23k" in sources and layout.DETAIL_CAPTIONS.exists():
        found.append(CaptionSet("blind (detail)", lambda: _llava(layout.DETAIL_CAPTIONS, f"{COCO_IMAGES}/")))
    if layout.SEED_CAPTIONS in learned:
        found.append(CaptionSet("teacher (seed)", lambda: _seed(layout.is_provided(config, layout.SEED_CAPTIONS))))
    if lineage.captions_images(config) and all(layout.caption_shard(shard).exists() for shard in shards(config)):
        found.append(CaptionSet("captioner", lambda: _shards(config)))
    elif layout.PRETRAINING_CORPUS in learned:
        found.append(CaptionSet("captioner", lambda: _llava(layout.PRETRAINING_CORPUS)))
    return found


def _llava(path: Path, folder: str = "") -> Iterator[Entry]:
    """The rows of a LLaVA JSON; `folder` holds the images that are named without their source."""
    for number, row in enumerate(read_array(path), start=1):
        image, text = caption_of(row, f"{path}, row {number}")
        yield Entry(image if image.startswith(folder) or image.count("/") > 1 else f"{folder}{image}", text)


def _coco() -> Iterator[Entry]:
    """The captions of COCO, those of an image together, as it has five."""
    path = layout.COCO_CAPTIONS
    document = read_json(path)
    captions: dict[int, list[str]] = {}
    for number, row in enumerate(document["annotations"], start=1):
        check_annotation(row, f"{path}, annotation {number}")
        captions.setdefault(row["image_id"], []).append(row["caption"].strip())
    for image, texts in captions.items():
        yield Entry(f"{COCO_IMAGES}/{image:012d}.jpg", "\n".join(texts))


def _seed(provided: bool) -> Iterator[Entry]:
    yield from _llava(layout.SEED_CAPTIONS)
    if not provided:
        yield from (Entry(*rejected) for rejected in rejected_captions(layout.SEED_CAPTIONS))


def _shards(config: Config) -> Iterator[Entry]:
    for shard in shards(config):
        for row in read_shard(layout.caption_shard(shard)):
            reason = "" if row["status"] == "accepted" else str(row.get("reason") or "no reason given")
            yield Entry(row["image"], row["caption"], reason)
