"""The captioner's training rows: the seed captions behind one fixed instruction (paper §3.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sharegpt4v.corpora.rows import caption_of, caption_row
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, read_text


def read_instruction(path: Path) -> str:
    """Return the one instruction that precedes every image, in training and afterwards."""
    instruction = read_text(path, "the captioner's instruction").strip()
    if not instruction or "<image>" in instruction:
        raise UserError(f"{path}: empty or with '<image>' in it; expected the text of an instruction alone")
    return instruction


def captioner_rows(seed_captions: Path, instruction: str) -> list[dict[str, Any]]:
    """Return a LLaVA row per seed caption, asked for by `instruction`; a `UserError` names a row without a caption."""
    rows = read_json(seed_captions)
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{seed_captions}: no rows in it; expected a JSON array of captions")
    made = []
    for number, row in enumerate(rows, start=1):
        place = f"{seed_captions}, row {number}"
        made.append(caption_row(*caption_of(row, place), instruction))
    return made
