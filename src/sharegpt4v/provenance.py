"""The provenance of an artefact: ``provenance.json`` beside it names the code, the settings, the seed and the inputs.

No time, no machine and no commit is in it, so that the same work gives the same bytes: it names the code by its hash,
which another commit leaves as it is. When a job ran, and at which commit, is among the logs (see `job_record`).
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.code_hash import NAME, code_of
from sharegpt4v.errors import UserError
from sharegpt4v.files import sha256_of
from sharegpt4v.ledger import key_of
from sharegpt4v.version import __version__

ABOUT = ("provenance.json", "metrics.jsonl", "README.md")
"""Files that tell about the artefact beside them; what is made from that does not depend on them."""


def provenance(
    stage: str, config_section: Mapping[str, Any], seed: int | None, inputs: Sequence[Path], *modules: str
) -> dict[str, Any]:
    """Return what the artefact of a stage depends on, to be written as ``provenance.json``.

    `config_section` holds plain JSON values, the part of the config that the stage uses. `inputs` are files or
    folders, named as given: give relative paths, so that the result is the same on every machine. `modules` are the
    `__name__` of what makes the artefact, and of what it imports by name. A missing input is a `UserError`.
    """
    return {
        "stage": stage,
        "seed": seed,
        "config": key_of(dict(config_section)),
        **code_version(*modules),
        "inputs": {path.as_posix(): hash_of(path) for path in sorted(inputs)},
    }


def code_version(*modules: str) -> dict[str, Any]:
    """Return the version of this package, and the hash of the code of these of its modules and of what they import."""
    return {"version": __version__, "code": code_of(*(module.removeprefix(f"{NAME}.") for module in modules))}


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder, that of the sorted list of its files and their hashes.

    In folders hidden files (unfinished ones are) and the files named in `ABOUT` do not count.
    """
    if path.is_file():
        return sha256_of(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such input; expected a file or folder there, made by an earlier stage")
    listing = hashlib.sha256()
    for name in sorted(_counted_files(path)):
        listing.update(f"{sha256_of(path / name)}  {name}\n".encode())
    return listing.hexdigest()


def _counted_files(folder: Path) -> list[str]:
    names = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return [
        name.as_posix()
        for name in names
        if name.name not in ABOUT and not any(part.startswith(".") for part in name.parts)
    ]


def git_state() -> dict[str, Any]:
    """Return `git_commit` of this package and `git_changed`, whether its code differs from it; None outside git."""
    folder = Path(__file__).parent
    if not _git(folder, "ls-files", "--", Path(__file__).name):  # installed: a checkout around it is not its own
        return {"git_commit": None, "git_changed": None}
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changed = None if commit is None else _git(folder, "status", "--porcelain", "--", ".") != ""
    return {"git_commit": commit, "git_changed": changed}


def _git(folder: Path, *command: str) -> str | None:
    """Return what git prints, or None when it fails or is not installed."""
    try:
        finished = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True)
    except OSError:
        return None
    return finished.stdout.strip() if finished.returncode == 0 else None
