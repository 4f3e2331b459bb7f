"""What the tests of the benchmarks' rules share: rows of a file and an answer as models give it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SHORT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."


def jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def answer(question_id: object, text: str, prompt: str = "", **extra: object) -> dict[str, Any]:
    return {"question_id": question_id, "prompt": prompt, "text": text, **extra}
