"""What comes with the project: config, prompts, rules, profiles. A clone has it at its root, a wheel in the package."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
COPY = PACKAGE / "_project"  # only in a wheel: setup.py puts it there
PROJECT = COPY if COPY.is_dir() else PACKAGE.parents[1]
DEFAULT_CONFIG = PROJECT / "config" / "config.yaml"
BELONG_TO_PROJECT = ("config",) if PROJECT is COPY else ("config", ".venv-img2dataset")


def of_project(path: Path) -> Path:
    """Return a path of the config as seen from here: `config/` and a clone's `.venv-img2dataset/` are the project's.

    `src/sharegpt4v/` is the package, wherever it is installed.
    """
    if path.parts[:2] == ("src", PACKAGE.name):
        return PACKAGE.joinpath(*path.parts[2:])
    return Path(os.path.relpath(PROJECT / path)) if path.parts[:1] and path.parts[0] in BELONG_TO_PROJECT else path


def preset(name: str) -> Path:
    """Return the path of a config file: the one that is there, else the project's own `config/paper-7b.yaml`."""
    path = Path(name)
    own = of_project(path)
    return own if own.is_file() and not path.exists() else path
