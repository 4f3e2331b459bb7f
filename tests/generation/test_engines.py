"""A checkpoint's folder says the same through three engines; the script that finds out notices when it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conftest import run
from tiny_llava import write_llava, write_pictures
from vllm_environment import vllm  # noqa: F401  (a fixture)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A model that writes something else about nearly every picture, and 40 pictures in `data` beside it."""
    write_pictures(tmp_path / "data", 40)
    return write_llava(tmp_path, "pad")


def command(checkpoint: Path, *engines: str) -> list[str]:
    """The command line that compares `engines` with the project's own."""
    script, data = "benchmarks/engines_equal.py", str(checkpoint.parent / "data")
    return [sys.executable, script, str(checkpoint), "--images", data, "--max-new-tokens", "24", "--engines", *engines]


def test_transformers_alone_says_the_same(checkpoint: Path) -> None:
    ended = run(command(checkpoint, "transformers"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "| transformers | 40 of 40 | 40 of 40 |" in ended.stdout


def test_a_difference_is_shown(checkpoint: Path) -> None:
    template = checkpoint / "chat_template.jinja"
    template.write_text(template.read_text().replace("{{ bos_token }}", ""))
    ended = run(command(checkpoint, "transformers"))
    assert ended.returncode == 1 and "| transformers | 40 of 40 |" not in ended.stdout
    assert "    project: (" in ended.stdout and "    transformers: (" in ended.stdout


@pytest.mark.usefixtures("vllm")
def test_vllm_says_the_same(checkpoint: Path) -> None:
    ended = run(command(checkpoint, "vllm"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "| vllm | 40 of 40 | 40 of 40 |" in ended.stdout
