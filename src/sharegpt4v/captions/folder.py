"""Captions for a user's own images, each with the verdict of the quality gate, in the file format that is asked for."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.captions.captioning import Asked, Captioned, GenerationSettings, caption_asked, prepare
from sharegpt4v.captions.gate import reasons_of
from sharegpt4v.captions.outputs import ACCEPTED, Row, writer_of
from sharegpt4v.captions.unpacked import Found
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.review import write_page
from sharegpt4v.endpoint.request import prompt_hash

LEDGER = "captions.jsonl"
SHOWN_ERRORS = 10


@dataclass(frozen=True)
class Summary:
    """How many captions by verdict, how many images have none, and the characters of a caption on average."""

    verdicts: dict[str, int]
    errors: int
    mean_characters: float

    def __str__(self) -> str:
        parts = [*(f"{number:,} {verdict}" for verdict, number in self.verdicts.items()), f"{self.errors:,} errors"]
        return f"{', '.join(parts)}; {self.mean_characters:,.0f} characters on average"


def caption_folder(
    model: Path | None,
    found: Found,
    out: Path,
    settings: GenerationSettings,
    quality: Quality,
    work: Path,
    review: Path | None = None,
    notice: str = "",
) -> Summary:
    """Describe the images of `found`; write `out`, by its suffix (see `outputs`), and the page `review`.

    A `notice` is the first line of that page.

    `model` is the folder of a checkpoint, None where an endpoint has it. Rows are sorted by image: {image, caption,
    sha256, prompt_hash, model, finish_reason, verdict}, or {image, error}; a verdict is "accepted" or the reason
    against it. An image that cannot be read is reported and skipped. Captions are kept in `<work>/captions.jsonl`, so
    the same call again asks only for what is new.
    """
    write = writer_of(out)
    asked = prepare(model, found.files, settings)
    captioned = caption_asked(model, asked, settings, work / LEDGER, f"captions for {out}")
    reasons = reasons_of(captioned, settings.instruction, quality)
    about = {"prompt_hash": prompt_hash(settings.instruction), "model": name_of(model, asked, settings)}

    def rows() -> Iterator[Row]:
        for name in sorted(captioned | found.errors):
            yield _row(name, captioned.get(name), reasons.get(name) or found.errors.get(name), about)

    written = write(out, rows(), found.files, settings.instruction)
    summary = _summary(rows())
    if review:
        _write_review(review, out, rows(), found, summary, notice)
    _report(out, rows(), written, summary)
    return summary


def name_of(model: Path | None, asked: Asked, settings: GenerationSettings) -> str:
    """Return the name of the model with the hash of its content, or the name that an endpoint has for it."""
    if model:
        return f"{model.resolve().name}-{asked.model[:12]}"
    assert settings.generation.endpoint
    return settings.generation.endpoint.model


def _row(name: str, captioned: Captioned | None, reason: str | None, about: dict[str, str]) -> Row:
    if captioned is None or captioned.error is not None:
        return {"image": name, "error": reason}
    said = {"image": name, "caption": captioned.text, "sha256": captioned.sha256, **about}
    return said | {"finish_reason": captioned.finish_reason, "verdict": reason or ACCEPTED}


def _summary(rows: Iterator[Row]) -> Summary:
    verdicts, errors, characters = Counter[str](), 0, 0
    for row in rows:
        if "error" in row:
            errors += 1
        else:
            verdicts[row["verdict"]] += 1
            characters += len(row["caption"])
    return Summary(dict(sorted(verdicts.items())), errors, characters / max(1, verdicts.total()))


def _write_review(page: Path, out: Path, rows: Iterator[Row], found: Found, summary: Summary, notice: str) -> None:
    cells = (
        (found.files.get(row["image"]), row["image"], [row.get("verdict", "error"), row.get("caption") or row["error"]])
        for row in rows
    )
    counts = summary.verdicts | ({"error": summary.errors} if summary.errors else {})
    write_page(page, f"Captions in {out.name}", ["image", "verdict", "caption"], cells, {out.name: counts}, notice)


def _report(out: Path, rows: Iterator[Row], written: int, summary: Summary) -> None:
    errors = [row for row in rows if "error" in row]
    for row in errors[:SHOWN_ERRORS]:
        print(f"no caption for {row['image']}: {row['error']}", file=sys.stderr)
    if len(errors) > SHOWN_ERRORS:
        print(f"no caption for {len(errors) - SHOWN_ERRORS:,} more images", file=sys.stderr)
    total = sum(summary.verdicts.values()) + summary.errors
    left = f"; {total - written:,} others are not in it" if written < total else ""
    print(f"{written:,} rows in {out}{left}: {summary}", file=sys.stderr)
