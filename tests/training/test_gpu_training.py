"""The benchmark of a GPU runs on a machine that has this clone, torch and transformers, and nothing else of ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PROJECT
from few_packages import link_packages
from sharegpt4v.models.building import set_trainable

BENCHMARK = str(PROJECT / "benchmarks" / "gpu_training.py")


@pytest.fixture
def with_torch_and_transformers(tmp_path: Path) -> Path:
    """A folder of packages that holds those two and what they require, as links."""
    found = link_packages(folder := tmp_path / "packages", "torch", "transformers")
    assert {"torch", "transformers", "numpy"} <= found and not {"pillow", "orjson", "peft"} & found
    return folder


def test_every_setting_is_a_row_with_the_loss_of_sdpa(with_torch_and_transformers: Path, tmp_path: Path) -> None:
    """`-S`: no other packages are found."""
    command = [
        sys.executable,
        "-S",
        BENCHMARK,
        "--tiny",
        "--samples",
        "4",
        "--micro-batches",
        "2",
        "4",
    ]
    environment = {"PYTHONPATH": str(with_torch_and_transformers), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        [*command, "--out", str(tmp_path / "rows.jsonl")], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    settings = {(row["attention"], row["micro_batch"], row["recompute"]) for row in rows}
    assert len(settings) == len(rows) == 3 * 2 * 2
    for row in rows:
        assert row["torch"] and row["transformers"] and row["commit"] and row["date"]
        if row["attention"] == "sdpa" or "cannot" not in row:
            assert row["tokens_per_second"] > 0 and row["memory_gb"] > 0 and row["apart"] < 1e-4
    apart = re.search(r"apart if samples saw each other: (\S+)", ended.stdout)
    assert apart and float(apart[1]) > 10 * max(row.get("apart", 0) for row in rows)  # so the difference tells
    assert "\nfastest: " in ended.stdout


def test_it_stops_in_time_with_what_it_has() -> None:
    command = [
        sys.executable,
        BENCHMARK,
        "--tiny",
        "--samples",
        "64",
        "--micro-batches",
        *map(str, range(1, 60)),
    ]
    ended = subprocess.run([*command, "--minutes", "0.15"], capture_output=True, text=True)
    assert "stopped after 0.15 minutes" in ended.stdout, ended.stdout + ended.stderr


def test_it_trains_what_the_pretraining_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    import gpu_training

    model = gpu_training.build(gpu_training.shape(tiny=True), torch.device("cpu"))
    gpu_training.RECIPE.tune_vit_from_layer = 2
    trained = [name for name, one in gpu_training.build(gpu_training.shape(True), model.device).named_parameters()
               if one.requires_grad]  # fmt: skip
    set_trainable(model, llm=True, projector=True, vit_from_layer=2)
    assert trained == [name for name, one in model.named_parameters() if one.requires_grad]


def test_what_fails_is_a_row_and_larger_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU has no limit to reach in a test, so the errors of a GPU are raised where they would be."""
    import torch

    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    import gpu_training

    def timed(model: object, optimiser: object, samples: object, pixels: object, size: int) -> tuple[float, ...]:
        if size == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if size == 1:
            raise RuntimeError("the compiler\nfailed")
        return 5.0, 1.0, 1e9

    monkeypatch.setattr(gpu_training, "timed", timed)
    monkeypatch.setattr(sys, "argv", ["gpu_training.py", "--tiny", "--samples", "8", "--micro-batches", "4", "8", "1",
                                      "2", "--attention", "sdpa", "--recompute", "no"])  # fmt: skip
    rows = list(gpu_training.measured(gpu_training.arguments(), torch.device("cpu"), 1.0))
    assert [(row["micro_batch"], row.get("cannot")) for row in rows] == [
        (4, "out of memory"), (1, "the compiler failed"), (2, None),
    ]  # fmt: skip
    assert 0 < rows[-1]["mfu"] < 1
