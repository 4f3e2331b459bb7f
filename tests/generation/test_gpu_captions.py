"""The script that measures captions on a GPU does so with torch, transformers, accelerate and Pillow alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT
from few_packages import link_packages

BENCHMARKS = PROJECT / "benchmarks"


@pytest.fixture
def script(tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """The command without an engine, and its environment; by `-S`, no other packages are found."""
    found = link_packages(packages := tmp_path / "packages", "torch", "transformers", "accelerate", "pillow")
    assert {"torch", "pillow"} <= found and not {"orjson", "vllm"} & found
    (tmp_path / "temporary").mkdir()
    environment = {"PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin",
                   "TMPDIR": str(tmp_path / "temporary")}  # fmt: skip
    return [sys.executable, "-S", str(BENCHMARKS / "gpu_captions.py"), "--tiny", "--engines"], environment


def test_each_engine_has_its_rows_and_writes_the_same(script: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    command, environment = script
    command += ["local", "transformers", "--images", "2", "5", "--gb-per-s", "10", "--peak-tflops", "0.1"]
    ended = subprocess.run(
        [*command, "--out", str(tmp_path / "rows.jsonl")], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(row["engine"], row["images"]) for row in rows] == [
        ("local", 2), ("local", 5), ("transformers", 2), ("transformers", 5),
    ]  # fmt: skip
    for row in rows:
        assert row["equal"] == row["compared"] == 2 and row["different_texts"] == row["images"]
        assert row["captions_per_second"] > 0 and row["peak_memory_gb"] > 0
        assert row["tokens_per_second"] == pytest.approx(row["tokens"] * row["captions_per_second"])
        assert row["mfu_reading"] > 0 and (row["bandwidth_share"] is None) == (row["step_ms"] <= 0)
    assert "left out" not in ended.stdout and not list((tmp_path / "temporary").glob("captions-*"))


def test_it_stops_in_time_and_says_what_was_left_out(script: tuple[list[str], dict[str, str]], tmp_path: Path) -> None:
    command, environment = script
    command += ["local", "transformers", "--images", "2", "3", "--tokens", "1000", "--minutes", "0.75"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "stopped after 0.75 minutes" in ended.stdout, ended.stdout + ended.stderr
    assert "left out: " in ended.stdout and "transformers with 3 images" in ended.stdout
    assert not list((tmp_path / "temporary").glob("captions-*"))


def test_what_an_engine_cannot_is_a_row_and_larger_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A CPU has no limit to reach in a test, so the error of a GPU is raised where it would be."""
    import torch

    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu_captions

    def ask(images: list[bytes], tokens: int) -> list[str]:
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return ["text"] * len(images)

    @contextmanager
    def engine(folder: Path, most: int, device: torch.device) -> Iterator[Any]:
        yield ask

    @contextmanager
    def absent(folder: Path, most: int, device: torch.device) -> Iterator[Any]:
        raise gpu_captions.NotInstalled("not here")
        yield

    monkeypatch.setattr(gpu_captions, "ENGINES", {"small": engine, "absent": absent})
    monkeypatch.setattr(
        sys, "argv", ["gpu_captions.py", "--tiny", "--engines", "small", "absent", "--images", "4", "2", "3"]
    )
    options, images = gpu_captions.arguments(), [b""] * 4
    rows = [
        (row["engine"], row["images"], row.get("cannot"), len(texts))
        for engine in options.engines
        for row, texts in gpu_captions.measured_by(engine, tmp_path, images, options, torch.device("cpu"))
    ]
    assert rows == [
        ("small", 2, None, 2), ("small", 3, "out of memory", 0), ("small", 4, "out of memory", 0),
        ("absent", 2, "not here", 0), ("absent", 3, "not here", 0), ("absent", 4, "not here", 0),
    ]  # fmt: skip
