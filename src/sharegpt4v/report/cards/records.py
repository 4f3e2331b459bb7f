"""What the records of a run say for a card: provenance, losses, rows by source, statistics. What has none is None."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v import layout
from sharegpt4v.corpora.rows import source_of
from sharegpt4v.files import read_json, read_jsonl, sidecar
from sharegpt4v.provenance import hash_of


def provenance_in(folder: Path) -> dict[str, Any]:
    """Return the provenance of a checkpoint; empty without one."""
    path = folder / "provenance.json"
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def hash_now(path: Path) -> str | None:
    """Return the SHA-256 of a file or a folder as it is now; None when it is not here."""
    return hash_of(path) if path.exists() else None


def losses_of(folder: Path) -> list[float] | None:
    """Return the losses of a training's steps, in their order."""
    path = folder / "metrics.jsonl"
    return [row["loss"] for row in read_jsonl(path) if "loss" in row] if path.is_file() else None


def parameters_of(folder: Path) -> tuple[int, str] | None:
    """Return how many numbers the weights of a checkpoint have, and of which type; only safetensors say so."""
    from safetensors import safe_open

    count, types = 0, set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                piece = file.get_slice(name)
                size = 1
                for length in piece.get_shape():
                    size *= length
                count += size
                types.add(piece.get_dtype())
    return (count, ", ".join(sorted(types))) if count else None


def table_rows(path: Path) -> list[dict[str, str]] | None:
    """Return the rows of a CSV table of the results."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mixture_of(corpus: Path) -> list[dict[str, str]] | None:
    """Return the rows of a corpus by source, the sum last: those before, out, in and after."""
    rows = [row for row in table_rows(layout.MIXTURE) or () if row["corpus"] == corpus.name]
    return rows or None


def verdicts_in(files: Sequence[Path]) -> dict[str, Counter[str]] | None:
    """Return how many captions of each source the gate let through or rejected, by reason, as the files' rows say.

    None when a file is not here.
    """
    if not files or not all(file.is_file() for file in files):
        return None
    counts: dict[str, Counter[str]] = {}
    for row in (row for file in files for row in read_jsonl(file)):
        source = row.get("source") or source_of(row["image"])
        counts.setdefault(source, Counter())[row.get("reason") or "accepted"] += 1
    return counts


def answered(seed_captions: Path) -> dict[str, Counter[str]] | None:
    """Return which models answered and which prompts they got, with the number of captions of each."""
    path = sidecar(seed_captions, "provenance.jsonl")
    if not path.is_file():
        return None
    found: dict[str, Counter[str]] = {name: Counter() for name in ("model", "answered_by", "prompt_hash")}
    for row in read_jsonl(path):
        for name, counter in found.items():
            counter[str(row.get(name))] += 1
    return found


def provenance_beside(path: Path) -> dict[str, Any]:
    """Return the provenance in the sidecar of a file; empty without one."""
    beside = sidecar(path, "provenance.json")
    found = read_json(beside) if beside.is_file() else {}
    return found if isinstance(found, dict) else {}
