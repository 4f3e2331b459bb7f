"""Weights & Biases without a server: what its client keeps on disk for later is what the records say."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sharegpt4v.tracking.tracker import Run, track
from tracked_runs import write_rows

wandb = pytest.importorskip("wandb", reason="an extra: pip install 'sharegpt4v[wandb]'")


def kept(folder: Path) -> list[dict[str, Any]]:
    """The records that `wandb sync` sends of a run: small ones, each whole in one chunk of a LevelDB log."""
    from google.protobuf.json_format import MessageToDict
    from wandb.proto import wandb_internal_pb2

    [path] = folder.glob("*.wandb")
    data, records = path.read_bytes(), []
    position = 7  # of the file's head
    while position < len(data):
        size, kind = struct.unpack_from("<HB", data, position + 4)
        assert kind == 1, "a record in parts"
        record = wandb_internal_pb2.Record.FromString(data[position + 7 : position + 7 + size])
        records.append(MessageToDict(record, preserving_proto_field_name=True))
        position += 7 + size
    return records


def items(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair.get("key") or "/".join(pair["nested_key"]): json.loads(pair["value_json"]) for pair in pairs}


def test_runs_are_kept_once_with_their_curves_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "table.csv").write_text("model,GQA\n")
    training = Run(
        "finetuning/a", "finetuning", "a", {"epochs": 2}, {"all": 1}, [write_rows(tmp_path / "metrics.jsonl", 5)]
    )
    model = Run("a", "model", metrics={"GQA": 61.5}, artifacts=[tmp_path / "table.csv"])
    for _ in range(2):
        shown = track("wandb:mine", "unused", [model, training])
        assert shown.complete
    folders = list((tmp_path / "wandb").glob("offline-run-*"))
    assert {folder.name.rpartition("-")[2] for folder in folders} == set(shown.runs.values()) and len(folders) == 2
    for run in (training, model):
        [folder] = [folder for folder in folders if folder.name.endswith(shown.runs[run.name])]
        records = kept(folder)
        opened = next(record["run"] for record in records if "run" in record)
        assert (opened["project"], opened["display_name"], opened["job_type"]) == ("mine", run.name, run.stage)
        assert opened["run_group"] == "a"
        config = {item["key"]: json.loads(item["value_json"]) for item in opened["config"].get("update", [])}
        assert {name: value for name, value in config.items() if name != "_wandb"} == run.params
        rows = [items(record["history"]["item"]) for record in records if "history" in record]
        assert [row["loss"] for row in rows if "loss" in row] == (
            [1 / n for n in range(1, 6)] if run is training else []
        )
        summaries = [items(record["summary"].get("update", [])) for record in records if "summary" in record]
        assert any(summary.get("GQA") == 61.5 for summary in summaries) == (run is model)
        files = {path.name for path in (folder / "files").iterdir()}
        assert ("settings.json" in files, "table.csv" in files) == (run is training, run is model)


def test_without_a_key_a_line_says_so(tmp_path: Path) -> None:
    code = (
        "from sharegpt4v.tracking.tracker import Run, track\n"
        "print(track('wandb:', 'mine', [Run('a', 'model')]).complete)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.stdout == "False\n"
    lines = [line for line in ended.stderr.splitlines() if line.startswith("tracking: ")]
    assert len(lines) == 1 and "not shown in Weights & Biases" in lines[0], ended.stderr
