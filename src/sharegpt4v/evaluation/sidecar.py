"""The sidecar of a file of answers or of a judge's replies: its provenance, tied to it by its hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sharegpt4v.errors import MissingFile, UserError
from sharegpt4v.files import read_json, sha256_of, sidecar
from sharegpt4v.provenance import hash_of


def provenance_file(path: Path) -> Path:
    """The path of the provenance of a file."""
    return sidecar(path, "provenance.json")


def provenance_of(path: Path, what: str, answers_file: Path | None = None) -> dict[str, Any]:
    """Return how a file of `what` ("answers" or "replies") came about, as far as it is known: its own hash at least.

    A `UserError` when its sidecar is about another content, or replies are about other answers; a
    `MissingFile` when the file is empty because official files were not at hand.
    """
    known: dict[str, Any] = {f"{what}_sha256": hash_of(path)}
    beside = provenance_file(path)
    if not beside.exists():
        return known
    found = read_json(beside)
    expected = known if answers_file is None else known | {"answers_sha256": sha256_of(answers_file)}
    if not isinstance(found, dict) or any(found.get(name) != value for name, value in expected.items()):
        verb = {"answers": "answer", "replies": "judge"}[what]
        raise UserError(f"{beside}: not about this content of {path}; run s4v {verb} again, or delete it")
    if "missing" in found:
        raise MissingFile(found["missing"])
    return found
