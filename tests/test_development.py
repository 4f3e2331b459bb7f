"""The tests themselves: mypy checks all of them, and there are enough."""

from __future__ import annotations

import tomllib
from pathlib import Path

from conftest import PROJECT


def lines_below(folder: Path) -> int:
    """How many lines the Python files below a folder have."""
    return sum(len(path.read_text().splitlines()) for path in folder.rglob("*.py"))


def test_mypy_checks_the_tests() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"] and "tests" in settings["files"] and not settings.keys() & {"exclude", "overrides"}


def test_the_tests_have_at_least_half_the_lines_of_the_code() -> None:
    assert lines_below(PROJECT / "tests") * 2 >= lines_below(PROJECT / "src")
