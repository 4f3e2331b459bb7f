"""The captions of the pre-training corpus, shard by shard, each through the quality gate (paper §3.3: 1.2 million).

A shard is one job and one file. A shard that was killed continues from its ledger and asks nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.captions.captioning import GenerationSettings, caption_images
from sharegpt4v.captions.gate import reasons_of
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.quality import count_reasons, print_counts, refuse_too_many
from sharegpt4v.corpora.rows import source_of
from sharegpt4v.files import write_jsonl
from sharegpt4v.image_paths import inside


def images_of(number: int, count: int, images: Sequence[str]) -> Sequence[str]:
    """Return the images that shard `number` of `count`, from 0, describes: as many as of any other, or one more."""
    return images[len(images) * number // count : len(images) * (number + 1) // count]


def caption_shard(
    model: Path | None,
    images: Sequence[str],
    data: Path,
    out: Path,
    settings: GenerationSettings,
    work: Path,
    quality: Quality,
) -> dict[str, int]:
    """Describe `images` (paths below `data`) with the checkpoint `model`; return "accepted" or the reason → images.

    `model` None is the one that an endpoint has.

    `out` becomes JSON lines {image, sha256, caption, status, reason}, in the order of `images`; status is "accepted"
    or "rejected". Captions are kept in `<work>/<stem of out>.jsonl`. `UserError` when more are rejected than
    `quality` allows: then `out` is not written, and the rows are in `<work>/<stem of out>.rejected.jsonl`.
    """
    files = {image: inside(data, image) for image in images}
    captioned = caption_images(model, files, settings, work / f"{out.stem}.jsonl", f"captions {out.stem}")
    reasons = reasons_of(captioned, settings.instruction, quality)
    rows: list[dict[str, Any]] = [
        {
            "image": image,
            "sha256": captioned[image].sha256,
            "caption": captioned[image].text,
            "status": "rejected" if reasons[image] else "accepted",
            "reason": reasons[image],
        }
        for image in images
    ]
    rejected = (row for row in rows if row["reason"])
    path, remedy = work / f"{out.stem}.rejected.jsonl", "train the captioner longer or change captions.quality"
    told = [row["reason"] for row in rows]
    refuse_too_many(f"captions {out.stem}", told, rejected, quality.largest_rejected_fraction, path, remedy)
    write_jsonl(out, rows)
    counts = count_reasons([source_of(image) for image in images], [reasons[image] for image in images])
    print_counts(f"captions {out.stem}", counts)
    return dict(Counter(row["reason"] or "accepted" for row in rows))
