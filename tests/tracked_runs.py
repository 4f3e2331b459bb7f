"""Runs as MLflow shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sharegpt4v.files import write_jsonl


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_rows(path: Path, count: int) -> Path:
    write_jsonl(path, ({"step": step, "loss": 1 / step, "note": "text"} for step in range(1, count + 1)))
    return path
