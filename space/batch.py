"""Captions of many files, several asked for at a time, as rows in the order of the files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from settings import Refused, Settings
from turns import messages
from uploads import MOST_FILES, data_url

MOST_TOKENS = 1024  # of a caption
AT_A_TIME = 4


async def caption_of(settings: Settings, path: str, instruction: str) -> AsyncIterator[str]:
    """Yield the caption of an image file as far as it is written."""
    written = ""
    asked = messages([], instruction, await asyncio.to_thread(data_url, path))
    async with aclosing(settings.model.answer(asked, MOST_TOKENS)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            written += piece
            yield written


async def captions_of(settings: Settings, paths: Sequence[str], instruction: str) -> AsyncIterator[dict[str, Any]]:
    """Yield a row for each file: image, caption, sha256, model and instruction, or image and error.

    Each row has the page's notice, if there is one. Leaving ends what is being written.
    """
    if len(paths) > MOST_FILES:
        raise Refused(
            f"{len(paths):,} files; expected at most {MOST_FILES:,} at a time: `s4v caption` takes any number"
        )
    free = asyncio.Semaphore(AT_A_TIME)

    async def row(path: str) -> dict[str, Any]:
        name, written = Path(path).name, ""
        async with free:
            try:
                async for said in caption_of(settings, path, instruction):
                    written = said
            except Refused as error:
                return {"image": name, "error": str(error)}
            digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        about = {"sha256": digest, "model": settings.model.name, "instruction": instruction}
        return {"image": name, "caption": written, **about} | ({"notice": settings.notice} if settings.notice else {})

    tasks = [asyncio.create_task(row(path)) for path in paths]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()


def json_lines(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def progress(rows: Sequence[dict[str, Any]], total: int, began: float) -> str:
    """Return how far a batch is; `began` is when it did, by `time.monotonic`."""
    errors, seconds = sum("error" in row for row in rows), time.monotonic() - began
    left = f", about {seconds / len(rows) * (total - len(rows)):.0f} s left" if 0 < len(rows) < total else ""
    failed = f", {errors:,} without a caption" if errors else ""
    return f"{len(rows):,} of {total:,} images{failed}, {seconds:.0f} s{left}"
