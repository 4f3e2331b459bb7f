"""Presets of the project and of tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from sharegpt4v.config import load
from sharegpt4v.errors import UserError

CONFIG = PROJECT / "config"
Preset = Callable[..., Path]


@pytest.fixture
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Preset:
    """Write a preset over the project's config.yaml, its first line being `base:`, and return its short path."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/config.yaml").write_text((CONFIG / "config.yaml").read_text(encoding="utf-8"), encoding="utf-8")

    def write(*lines: str, base: bool = True, name: str = "my.yaml") -> Path:
        path = Path("config") / name
        path.write_text("\n".join((["base: config.yaml"] if base else []) + list(lines)) + "\n", encoding="utf-8")
        return path

    return write


def complaints(path: Path, overrides: dict[str, Any] | None = None) -> list[str]:
    """Return the lines of the error that loading ends in."""
    with pytest.raises(UserError) as caught:
        load(path, overrides)
    return str(caught.value).split("\n")
