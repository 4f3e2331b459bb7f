"""From a fresh clone to a finished run, by `dvc pull` and without making anything again.

Snakemake goes by dates and by its own notes on what was made from what; a pull brings neither. Where DVC says that
code, config and inputs are those that were recorded, Snakemake may be told that the result is up to date.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError
from sharegpt4v.pipeline.dvc import DVC_YAML, TARGET


def pull(with_images: bool) -> Path:
    """Bring what `dvc.lock` records into the working folder, a clone of the project; then Snakemake has nothing to do.

    Return the config of what was recorded.

    Stages whose code or config is not what was recorded, and what follows from them, are reported and not
    pulled. A `UserError` without a record, when the remote cannot be reached, and for images other than recorded.
    """
    if not Path("dvc.lock").is_file():
        raise UserError("dvc.lock: no such file here; expected a clone of a project that `dvc repro` wrote it in")
    document = _dvc_yaml()
    config_file = Path(document["vars"][0]["config"])
    stages = {name: stage for name, stage in document["stages"].items() if "outs" in stage}
    changed = _changed(stages)
    brought = [name for name in stages if name not in _following(changed, stages)]
    for name, what in changed.items():
        print(f"{name} and what follows from it is left to Snakemake: {what} changed since", file=sys.stderr)
    if not brought:
        return config_file
    config = ["--configfile", config_file.as_posix()]
    _run("dvc", "pull", *brought)
    if with_images:
        _run("snakemake", "all_sources", *config, "--forcerun", "synthetic_world", "source")
    if changed := _changed({name: stages[name] for name in brought}):
        told = "; ".join(f"{name}: {what}" for name, what in changed.items())
        raise UserError(f"the images here are not those that were recorded ({told}); `dvc diff` tells more")
    _run("snakemake", *(TARGET + name for name in brought), *config, "--touch", "--forceall", "--quiet", "all")
    return config_file


def _dvc_yaml() -> Any:
    import yaml

    return yaml.safe_load(DVC_YAML.read_text("utf-8"))


def _run(*command: str) -> None:
    """Run a program of this environment, which tells what it does; a `UserError` when it fails."""
    if subprocess.run([sys.executable, "-m", *command]).returncode:
        raise UserError(f"`{' '.join(command)}` failed, see above; fix that and run the same command again")


def _changed(stages: Iterable[str]) -> dict[str, str]:
    """Return which stages DVC finds changed since they were recorded, and what of each; what is missing has not."""
    ended = subprocess.run([sys.executable, "-m", "dvc", "status", "--json", *stages], capture_output=True, text=True)
    if ended.returncode:
        raise UserError(f"`dvc status` failed: {' '.join(ended.stderr.split())}")
    status: dict[str, list[str | dict[str, Any]]] = json.loads(ended.stdout)
    changed = {stage: [name for change in changes for name in _names(change)] for stage, changes in status.items()}
    return {stage: ", ".join(names) for stage, names in changed.items() if names}


def _names(change: str | dict[str, Any]) -> list[str]:
    """Name what changed of a stage: its files, the keys of its config, or its command."""
    if isinstance(change, str):
        return [change]
    names: list[str] = []
    for path, how in ((path, how) for changes in change.values() for path, how in changes.items()):
        if isinstance(how, dict):
            names += how
        elif how not in ("deleted", "not in cache"):
            names.append(path)
    return names


def _following(changed: Iterable[str], stages: dict[str, Any]) -> set[str]:
    """Return the stages that changed and all that read what they make; `stages` are in the order of the pipeline."""
    found = set(changed)
    made: set[str] = set()
    for name, stage in stages.items():
        if made & set(stage["deps"]):
            found.add(name)
        if name in found:
            made |= {next(iter(out)) for out in stage["outs"]}
    return found
