"""The environment of the demo's pages, for tests that run them."""

from __future__ import annotations

import os

import pytest

from conftest import PROJECT


@pytest.fixture(scope="session")
def gradio() -> None:
    """Skip without Gradio's environment, unless nothing may be skipped."""
    if not (PROJECT / ".venv-demo/bin/python").is_file():
        assert "S4V_REQUIRE_ALL" not in os.environ, "Gradio is missing; `make demo-environment` installs it"
        pytest.skip("`make demo-environment` installs Gradio")
