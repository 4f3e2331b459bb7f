"""Captions for the pre-trainings of an ablation: whose, of which images, how many; and a mix with other captions.

Which images are taken, and in which order, follows from the seed and the images alone. So variants that describe equal
images have them in equal order, and a larger share begins with a smaller one (paper, table 5 and figure 6).
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.corpora.prompts import hash_fraction
from sharegpt4v.corpora.rows import caption_of, caption_row, choose_question, coco_captions, source_of, write_array
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically, read_jsonl, sidecar
from sharegpt4v.llava_format.reading import read_array, read_shard

COCO_FILE = "captions_train2017.json"

Row = dict[str, Any]
Captions = Mapping[str, str]
"""The caption of each image, which is a path below data/."""


def write_choice(
    files: Mapping[str, Sequence[tuple[Path, str]]],
    author: str,
    described_by: Collection[str],
    sources: Collection[str] | None,
    share: float,
    questions: Sequence[str],
    seed: int,
    out: Path,
) -> int:
    """Write the chosen captions as a LLaVA JSON; return their number.

    `files` are by author the files of captions with the folder that their images are named in, "" where that is data/.
    Chosen are the captions of `author` for images that all of `described_by` describe too, of `sources` (None: all),
    and of these the first `share` in the order of the seed. `UserError` when nothing is left.
    """
    captions = read_captions(files[author])
    images = set(captions)
    for other in set(described_by) - {author}:
        images &= set(read_captions(files[other]))
    left = [image for image in images if sources is None or source_of(image) in sources]
    if not left:
        raise UserError(f"{out}: no image has captions of {', '.join({author, *described_by})}; expected some")
    left.sort(key=lambda image: (hash_fraction(seed, "pre-training order", image), image))
    chosen = left[: _count(share, len(left))]
    with open_atomically(out) as file:
        write_array(
            file, (caption_row(image, captions[image], choose_question(questions, image, seed)) for image in chosen)
        )
    print(f"{out}: {len(chosen):,} of {len(left):,} captions of {author}", file=sys.stderr)
    return len(chosen)


def first_of(rows: Sequence[Row], share: float, seed: int) -> Sequence[Row]:
    """Return a share of rows with an image each, in their order; the seed chooses, and a larger share has a smaller."""
    fractions = [hash_fraction(seed, "seed captions of a captioner", row["image"]) for row in rows]
    chosen = sorted(range(len(rows)), key=fractions.__getitem__)[: _count(share, len(rows))]
    return [rows[number] for number in sorted(chosen)]


def _count(share: float, of: int) -> int:
    return max(1, round(share * of))


def read_captions(files: Sequence[tuple[Path, str]]) -> Captions:
    """Return the first caption of each image in files of LLaVA rows or of COCO's annotations, or in shards of a
    captioner, of which those count that passed the gate."""
    found: dict[str, str] = {}
    for path, folder in files:
        read = _coco if path.name == COCO_FILE else _shard if path.suffix == ".jsonl" else _llava
        for image, caption in read(path):
            found.setdefault(f"{folder}/{image}" if folder else image, caption)
    return found


def rewrite_mix(mix: Path, captioner: Path, out: Path) -> int:
    """Write an instruction mix with the captions of `captioner` in place of the seed captions; return how many.

    The note beside the mix says which rows are seed captions. Those of images that `captioner` has not described stay,
    and so does all else. `UserError` when nothing is replaced.
    """
    notes = read_jsonl(sidecar(mix, "provenance.jsonl"))
    came = {note["row"]: note["in"] for note in notes if note.get("in")}
    wanted = set(came.values())
    captions = {image: caption for image, caption in _llava(captioner) if image in wanted}
    if not captions:
        raise UserError(f"{mix}: none of its seed captions is of an image in {captioner}; expected some")

    def rows() -> Iterator[object]:
        for number, row in enumerate(read_array(mix)):
            if caption := captions.get(came.get(number, "")):
                row["conversations"][-1]["value"] = caption
            yield row

    with open_atomically(out) as file:
        write_array(file, rows())
    count = sum(image in captions for image in came.values())
    print(f"{out}: {count:,} of {len(came):,} seed captions written anew by the captioner", file=sys.stderr)
    return count


def _coco(path: Path) -> Iterator[tuple[str, str]]:
    return ((f"{number:012d}.jpg", caption) for number, caption in coco_captions(path))


def _shard(path: Path) -> Iterator[tuple[str, str]]:
    return ((row["image"], row["caption"]) for row in read_shard(path) if row["status"] == "accepted")


def _llava(path: Path) -> Iterator[tuple[str, str]]:
    return (caption_of(row, f"{path}, row {number}") for number, row in enumerate(read_array(path), start=1))
