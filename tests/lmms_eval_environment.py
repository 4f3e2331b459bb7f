"""lmms-eval's environment, for tests that run it."""

from __future__ import annotations

import os

import pytest

from conftest import PROJECT


@pytest.fixture
def lmms_eval() -> None:
    """Skip without lmms-eval's environment, unless nothing may be skipped."""
    if not (PROJECT / ".venv-lmms-eval/bin/python").is_file():
        assert "S4V_REQUIRE_ALL" not in os.environ, "lmms-eval is missing; `make lmms-eval` installs it"
        pytest.skip("`make lmms-eval` installs lmms-eval")
