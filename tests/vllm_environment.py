"""vLLM's environment, for tests that run it."""

from __future__ import annotations

import os

import pytest

from conftest import PROJECT

VLLM = PROJECT / ".venv-vllm/bin/python"


@pytest.fixture
def vllm() -> None:
    """Skip without vLLM's environment, unless nothing may be skipped."""
    if not VLLM.is_file():
        assert "S4V_REQUIRE_ALL" not in os.environ, "vLLM is missing; `make vllm` installs it"
        pytest.skip("`make vllm` installs vLLM")
