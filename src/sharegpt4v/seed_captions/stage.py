"""The stage "seed captions": captions by the teacher for a chosen part of the images (paper §3.2, 100K set).

It writes the published form, a LLaVA JSON whose rows have two turns, and beside it the provenance of each caption, what
was set aside and why, and the prompts by their hash.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from sharegpt4v import layout
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.prompts import PromptBook, asks_aesthetic, hash_fraction
from sharegpt4v.corpora.quality import count_reasons, print_counts, refuse_too_many, too_many
from sharegpt4v.corpora.rows import caption_row, choose_question, write_array
from sharegpt4v.endpoint.client import ask
from sharegpt4v.endpoint.request import Request, prompt_hash
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically, sidecar, write_json, write_jsonl
from sharegpt4v.image_paths import inside
from sharegpt4v.ledger import Ledger
from sharegpt4v.seed_captions.gate import Gate
from sharegpt4v.seed_captions.review import write_review


@dataclass(frozen=True, slots=True)
class SeedImage:
    """An image to be captioned: its path below data/, the source it is from, the SHA-256 of the file."""

    path: str
    source: str
    sha256: str


@dataclass(frozen=True)
class SeedSummary:
    """What the stage made; `counts` is source → "accepted" or the reason → number of images."""

    accepted: int
    rejected: int
    counts: dict[str, dict[str, int]]


def choose(rows: Iterable[Mapping[str, Any]], source: str, count: int | None, seed: int) -> list[SeedImage]:
    """Choose `count` usable images (None: all) of a source by the order of a seeded hash of their paths.

    `rows` are manifest rows with path, sha256 and status; only status "ok" is usable. The choice does not depend on the
    order of the rows, and a larger count keeps what a smaller one chose. Too few usable images are a `UserError`, and
    so is one outside of data/: no other file of this machine is sent to a teacher.
    """
    usable = (
        (hash_fraction(seed, "seed captions", row["path"]), row["path"], row["sha256"])
        for row in rows
        if row["status"] == "ok"
    )
    images = sorted(usable) if count is None else heapq.nsmallest(count, usable)
    if count is not None and len(images) < count:
        raise UserError(
            f"seed captions: {count:,} images of source '{source}' are wanted, the manifest has {len(images):,} "
            "usable ones; lower the count or complete the source"
        )
    for _, path, _ in images:
        inside(layout.DATA, path)
    return [SeedImage(path, source, sha256) for _, path, sha256 in images]


def seed_captions(
    images: Sequence[SeedImage],
    data: Path,
    out: Path,
    work: Path,
    prompts: PromptBook,
    settings: ChatSettings,
    quality: Quality,
    *,
    seed: int,
    aesthetic_fraction: float,
    notice: str = "",
) -> SeedSummary:
    """Caption `images` (files below `data`) and write `out`, the rows in the order of `images`.

    Beside `out` come `<stem>.provenance.jsonl` (provenance of each row), `<stem>.rejected.jsonl`, a page of the same
    with the images `<stem>.rejected.html`, whose first line is the `notice`, and `<stem>.prompts.json`. Replies are
    kept in `<work>/replies.jsonl`; the same call again asks only for what is missing. `UserError` when more of the
    images are set aside than `quality` allows: then `out` is not written, and the rejected are in `rejected.jsonl` and
    `.html` below `work`.
    """
    render = cache(prompts.render)
    requests = [
        Request(image.path, data, image.source, image.sha256, render(image.source, aesthetic))
        for image in images
        for aesthetic in [asks_aesthetic(image.path, seed, aesthetic_fraction)]
    ]
    gate = Gate({prompt_hash(request.prompt): request.prompt for request in requests}, quality)
    with Ledger(work / "replies.jsonl") as ledger:
        unanswered = asyncio.run(ask(requests, settings, ledger, remarks=gate.remarks))
        keys = [settings.key(request) for request in requests]
        reasons = gate.reasons(requests, (None if key in unanswered else ledger[key] for key in keys))

        def rejected() -> Iterator[dict[str, Any]]:
            for request, key, reason in zip(requests, keys, reasons, strict=True):
                if reason is not None:
                    text = unanswered.get(key) or ledger[key]["text"]
                    yield {"image": request.image, "source": request.source, "reason": reason, "text": text}

        counts = count_reasons([image.source for image in images], reasons)
        remedy, limit = "change the prompts, the teacher or the limit", quality.largest_rejected_fraction
        if too_many(reasons, limit):
            write_review(work / "rejected.html", rejected(), data, counts, notice)
        refuse_too_many("seed captions", reasons, rejected(), limit, work / "rejected.jsonl", remedy)

        write_jsonl(sidecar(out, "rejected.jsonl"), rejected())
        write_review(sidecar(out, "rejected.html"), rejected(), data, counts, notice)
        write_json(sidecar(out, "prompts.json"), gate.prompts)
        # The captions get their name last, so that where they are, everything about them is too.
        with open_atomically(out) as file, open_atomically(sidecar(out, "provenance.jsonl")) as provenance:

            def rows() -> Iterator[dict[str, Any]]:
                for request, key, reason in zip(requests, keys, reasons, strict=True):
                    if reason is None:
                        reply = ledger[key]
                        provenance.write(orjson.dumps(_provenance(request, reply), option=orjson.OPT_APPEND_NEWLINE))
                        yield _row(request, reply, prompts, seed)

            write_array(file, rows())
    print_counts("seed captions", counts)
    return SeedSummary(reasons.count(None), len(reasons) - reasons.count(None), counts)


def _row(request: Request, reply: Mapping[str, Any], prompts: PromptBook, seed: int) -> dict[str, Any]:
    """Return the published form of one caption."""
    question = choose_question(prompts.questions, request.image, seed)
    return caption_row(request.image, reply["text"].strip(), question)


def _provenance(request: Request, reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return how one row came about; when, in which batch and after how many attempts is in the ledger alone."""
    names = ("prompt_hash", "model", "answered_by", "prompt_tokens", "completion_tokens")
    return {"image": request.image, "sha256": request.sha256, **{name: reply[name] for name in names}}
