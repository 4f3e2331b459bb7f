"""The stage "seed captions": captions by the teacher for a chosen part of the images (paper §3.2, 100K set).

It writes the published form, a LLaVA JSON whose rows have two turns, and beside it how each caption came about, what
was set aside and why, and the prompts by their hash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharegpt4v.corpora.rows import caption_row, choose_question
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json, write_jsonl
from sharegpt4v.ledger import Ledger
from sharegpt4v.teacher.budget import Budget
from sharegpt4v.teacher.client import TeacherSettings, ask
from sharegpt4v.teacher.prompts import PromptBook, asks_aesthetic, hash_fraction, prompt_hash
from sharegpt4v.teacher.quality import Caption, Limits, count_reasons, examine, print_counts, refuse_too_many
from sharegpt4v.teacher.request import Request


@dataclass(frozen=True)
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
    prompt_tokens: int
    completion_tokens: int


def choose(rows: Iterable[Mapping[str, Any]], counts: Mapping[str, int | None], seed: int) -> list[SeedImage]:
    """Choose `counts[source]` usable images (None: all) of each source by the order of a seeded hash of their paths.

    `rows` are manifest rows with path, source, sha256 and status; only status "ok" is usable. The choice depends
    neither on the order of the rows nor on other sources, and a larger count keeps what a smaller one chose. Sources
    come in the order of `counts`. Too few usable images are a `UserError`.
    """
    usable: dict[str, list[tuple[float, str, str]]] = {source: [] for source in counts}
    for row in rows:
        if row["status"] == "ok" and row["source"] in usable:
            order = hash_fraction(seed, "seed captions", row["path"])
            usable[row["source"]].append((order, row["path"], row["sha256"]))
    chosen: list[SeedImage] = []
    for source, count in counts.items():
        images = sorted(usable[source])
        if count is not None and len(images) < count:
            raise UserError(
                f"seed captions: {count:,} images of source '{source}' are wanted, the manifest has {len(images):,} "
                "usable ones; lower the count or complete the source"
            )
        chosen += [SeedImage(path, source, sha256) for _, path, sha256 in images[:count]]
    return chosen


def seed_captions(
    images: Sequence[SeedImage],
    data: Path,
    out: Path,
    work: Path,
    prompts: PromptBook,
    settings: TeacherSettings,
    limits: Limits,
    *,
    seed: int,
    aesthetic_fraction: float,
    rejected_limit: float,
    budget: Budget | None = None,
) -> SeedSummary:
    """Caption `images` (files below `data`) and write `out`, the rows in the order of `images`.

    Beside `out` come `<stem>.provenance.jsonl` (how each row came about), `<stem>.rejected.jsonl` and
    `<stem>.prompts.json`. Replies are kept in `<work>/replies.jsonl`; the same call again asks only for what is
    missing. `UserError` when more than the fraction `rejected_limit` of the images is set aside: then `out` is not
    written, and the list of the rejected is in `<work>/rejected.jsonl`.
    """
    requests = [_request(image, data, prompts, seed, aesthetic_fraction) for image in images]
    with Ledger(work / "replies.jsonl") as ledger:
        unanswered = asyncio.run(ask(requests, settings, ledger, budget))
        keys = [settings.key(request) for request in requests]
        replies = [None if key in unanswered else ledger[key] for key in keys]
    reasons = _examine(requests, replies, limits)
    rows, provenance, rejected = [], [], []
    for request, key, reply, reason in zip(requests, keys, replies, reasons, strict=True):
        if reply is None or reason is not None:
            text = reply["text"] if reply else unanswered[key]
            rejected.append({"image": request.image, "source": request.source, "reason": reason, "text": text})
        else:
            question = choose_question(prompts.questions, request.image, seed)
            rows.append(caption_row(request.image, reply["text"].strip(), question))
            provenance.append(_provenance(request, reply))
    counts = count_reasons([image.source for image in images], reasons)
    remedy = "change the prompts, the teacher or the limit"
    refuse_too_many("seed captions", rejected, len(images), rejected_limit, work / "rejected.jsonl", remedy)

    write_jsonl(out.with_name(f"{out.stem}.provenance.jsonl"), provenance)
    write_jsonl(out.with_name(f"{out.stem}.rejected.jsonl"), rejected)
    write_json(
        out.with_name(f"{out.stem}.prompts.json"),
        {prompt_hash(prompt): prompt for prompt in sorted({request.prompt for request in requests})},
    )
    # Last, so that where the captions are, everything about them is too.
    write_json(out, rows)
    print_counts("seed captions", counts)
    return SeedSummary(
        accepted=len(rows),
        rejected=len(rejected),
        counts=counts,
        prompt_tokens=sum(reply["prompt_tokens"] for reply in replies if reply),
        completion_tokens=sum(reply["completion_tokens"] for reply in replies if reply),
    )


def _request(image: SeedImage, data: Path, prompts: PromptBook, seed: int, aesthetic_fraction: float) -> Request:
    """Return the question about one image."""
    prompt = prompts.render(image.source, asks_aesthetic(image.path, seed, aesthetic_fraction))
    return Request(image.path, data / image.path, image.source, image.sha256, prompt)


def _examine(requests: Sequence[Request], replies: Sequence[dict[str, Any] | None], limits: Limits) -> list[str | None]:
    """Return why each image has no caption: the gate's reason, or "unanswered"; None when it has one."""
    answered = [
        Caption(request.image, request.source, reply["text"], request.prompt, reply["finish_reason"])
        for request, reply in zip(requests, replies, strict=True)
        if reply
    ]
    reasons = iter(examine(answered, limits))
    return [next(reasons) if reply else "unanswered" for reply in replies]


def _provenance(request: Request, reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return how one row came about."""
    names = ("prompt_hash", "model", "answered_by", "time", "attempts", "prompt_tokens", "completion_tokens")
    return {"image": request.image, "sha256": request.sha256, **{name: reply[name] for name in names}}
