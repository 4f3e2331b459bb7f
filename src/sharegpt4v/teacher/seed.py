"""The stage "seed captions": captions by the teacher for a chosen part of the images (paper §3.2, 100K set).

It writes the published form, a LLaVA JSON whose rows have two turns, and beside it how each caption came about, what
was set aside and why, and the prompts by their hash.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sharegpt4v.corpora.rows import caption_row, choose_question, write_array
from sharegpt4v.errors import UserError
from sharegpt4v.files import open_atomically, write_json, write_jsonl
from sharegpt4v.ledger import Ledger, key_of
from sharegpt4v.stage_code import code_of
from sharegpt4v.teacher.client import ask
from sharegpt4v.teacher.prompts import PromptBook, asks_aesthetic, hash_fraction, prompt_hash
from sharegpt4v.teacher.quality import (
    Limits,
    count_reasons,
    print_counts,
    refuse_too_many,
    reject_reason,
    too_many,
)
from sharegpt4v.teacher.request import Request
from sharegpt4v.teacher.review import write_review
from sharegpt4v.teacher.settings import TeacherSettings

UNANSWERED = "unanswered"


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
    order of the rows, and a larger count keeps what a smaller one chose. Too few usable images are a `UserError`.
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
    return [SeedImage(path, source, sha256) for _, path, sha256 in images]


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
) -> SeedSummary:
    """Caption `images` (files below `data`) and write `out`, the rows in the order of `images`.

    Beside `out` come `<stem>.provenance.jsonl` (how each row came about), `<stem>.rejected.jsonl`, a page of the same
    with the pictures `<stem>.rejected.html`, and `<stem>.prompts.json`. Replies are kept in `<work>/replies.jsonl`; the
    same call again asks only for what is missing. `UserError` when more than the fraction `rejected_limit` of the
    images is set aside: then `out` is not written, and the rejected are in `rejected.jsonl` and `.html` below `work`.
    """
    render = cache(prompts.render)
    requests = [
        Request(image.path, data, image.source, image.sha256, render(image.source, aesthetic))
        for image in images
        for aesthetic in [asks_aesthetic(image.path, seed, aesthetic_fraction)]
    ]
    gate = _Gate({prompt_hash(request.prompt): request.prompt for request in requests}, limits)
    with Ledger(work / "replies.jsonl") as ledger:
        unanswered = asyncio.run(ask(requests, settings, ledger, remarks=gate.remarks))
        keys = [settings.key(request) for request in requests]
        reasons = gate.reasons(requests, (None if key in unanswered else ledger[key] for key in keys))

        def rejected() -> Iterator[dict[str, Any]]:
            for request, key, reason in zip(requests, keys, reasons, strict=True):
                if reason is not None:
                    text = unanswered.get(key) or ledger[key]["text"]
                    yield {"image": request.image, "source": request.source, "reason": reason, "text": text}

        def accepted() -> Iterator[tuple[Request, dict[str, Any]]]:
            for request, key, reason in zip(requests, keys, reasons, strict=True):
                if reason is None:
                    yield request, ledger[key]

        counts = count_reasons([image.source for image in images], reasons)
        remedy = "change the prompts, the teacher or the limit"
        if too_many(reasons, rejected_limit):
            write_review(work / "rejected.html", rejected(), data, counts)
        refuse_too_many("seed captions", reasons, rejected(), rejected_limit, work / "rejected.jsonl", remedy)

        write_jsonl(out.with_name(f"{out.stem}.provenance.jsonl"), (_provenance(*pair) for pair in accepted()))
        write_jsonl(out.with_name(f"{out.stem}.rejected.jsonl"), rejected())
        write_review(out.with_name(f"{out.stem}.rejected.html"), rejected(), data, counts)
        write_json(out.with_name(f"{out.stem}.prompts.json"), gate.prompts)
        # Last, so that where the captions are, everything about them is too.
        with open_atomically(out) as file:
            write_array(file, (_row(request, reply, prompts, seed) for request, reply in accepted()))
    print_counts("seed captions", counts)
    return SeedSummary(reasons.count(None), len(reasons) - reasons.count(None), counts)


class _Gate:
    """The quality gate, which examines each reply once: what it finds is kept with the reply, for as long as limits
    and code stay the same."""

    def __init__(self, prompts: Mapping[str, str], limits: Limits) -> None:
        """`prompts` are the rendered prompts by their hash."""
        self.prompts, self.limits = dict(sorted(prompts.items())), limits
        self.version = key_of(asdict(limits), code_of("teacher.quality"))

    def remarks(self, reply: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is to be kept with a reply that has just come; nothing if it is to a prompt of another time."""
        if reply["prompt_hash"] not in self.prompts:
            return {}
        return {"gate": self.version, "reason": self._reason(reply["image"], reply)}

    def reasons(self, requests: Sequence[Request], replies: Iterable[Mapping[str, Any] | None]) -> list[str | None]:
        """Return why each image has no caption: the gate's reason, or "unanswered"; None when it has one."""
        copies: Counter[int] = Counter()
        texts, reasons = list[int](), list[str | None]()
        for request, reply in zip(requests, replies, strict=True):
            texts.append(hash(reply["text"].strip()) if reply else 0)
            if reply is None:
                reasons.append(UNANSWERED)
                continue
            copies[texts[-1]] += 1
            known = reply.get("gate") == self.version and reply["image"] == request.image
            reasons.append(reply["reason"] if known else self._reason(request.image, reply))
        return [
            reason or ("duplicate" if copies[text] > self.limits.most_copies else None)
            for text, reason in zip(texts, reasons, strict=True)
        ]

    def _reason(self, image: str, reply: Mapping[str, Any]) -> str | None:
        prompt = self.prompts[reply["prompt_hash"]]
        return reject_reason(reply["text"], prompt, image, self.limits, reply["finish_reason"])


def _row(request: Request, reply: Mapping[str, Any], prompts: PromptBook, seed: int) -> dict[str, Any]:
    """Return the published form of one caption."""
    question = choose_question(prompts.questions, request.image, seed)
    return caption_row(request.image, reply["text"].strip(), question)


def _provenance(request: Request, reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return how one row came about."""
    names = ("prompt_hash", "model", "answered_by", "time", "attempts", "prompt_tokens", "completion_tokens")
    about = {"image": request.image, "sha256": request.sha256, **{name: reply[name] for name in names}}
    return about | ({"batch": reply["batch"]} if "batch" in reply else {})
