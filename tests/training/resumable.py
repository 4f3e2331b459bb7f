"""A small training on text, also as a program of several processes: `torchrun resumable.py SEGMENTS`, a JSON list."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sharegpt4v.config.compute import SINGLE_PROCESS, Compute
from sharegpt4v.config.training import Recipe
from sharegpt4v.files import write_json
from sharegpt4v.lifetime import Stopped
from sharegpt4v.models.templates import Sample
from sharegpt4v.training.launch import launch_command
from sharegpt4v.training.ranks import SINGLE_RANK, Ranks, join
from sharegpt4v.training.run import train
from sharegpt4v.training.stages import train_stage
from small_training import RECIPE

STEPS = 10


def run(
    work: Path,
    out: Path,
    stop_after: int = 0,
    launcher: bool = False,
    pause: float = 0.0,
    ranks: Ranks = SINGLE_RANK,
    compute: Mapping[str, Any] | None = None,
    **more: Any,
) -> list[float]:
    """Train a new model, or what `work` has of it; return the losses of the steps that were taken.

    Before step `stop_after` (0: never) a signal asks this process for the end, which comes after that step. With
    `launcher` it asks the process that started it, and the end may come later. Losses and weights go to `out`.
    `compute` replaces keys of that section.
    Each step takes `pause` seconds longer than it would.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(5)
    size: Any = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=61, max_position_embeddings=64, **size))
    texts = [torch.randint(3, 61, (7 + number % 5,)).tolist() for number in range(STEPS * 2 - 1)]
    settings: dict[str, Any] = {"batch_size": 4, "epochs": 2, "learning_rate": 1e-2, "weight_decay": 0.1}
    recipe = Recipe(**(settings | {"precision": "float32"} | more))
    divided = SINGLE_PROCESS.model_copy(update={"zero_stage": 2, **(compute or {})})
    losses: list[float] = []

    def record(row: Mapping[str, float]) -> None:
        losses.append(row["loss"])
        if row["step"] == stop_after - 1:
            os.kill(os.getppid() if launcher else os.getpid(), signal.SIGUSR1)
        time.sleep(pause)

    samples = [Sample(text, text) for text in texts]
    try:
        train(model, samples, recipe, 3, work, "text", record=record, ranks=ranks, compute=divided)
    except Stopped:
        if launcher:
            raise
        assert stop_after
    if not ranks.rank:
        out.mkdir(parents=True)
        write_json(out / "losses.json", losses)
        torch.save({name: one.detach() for name, one in model.named_parameters()}, out / "weights.pt")
    return losses


def fine_tune(
    start: Path, rows: Path, data: Path, out: Path, compute: Mapping[str, Any], ranks: Ranks = SINGLE_RANK
) -> None:
    """Fine-tune the checkpoint `start`, a LLaVA of `tiny_llava`, on the rows of a JSON file."""
    recipe = Recipe(**(RECIPE | {"tune_vit_from_layer": 0}))
    divided = SINGLE_PROCESS.model_copy(update=compute)
    work = Path(out).parent / f"work-{Path(out).name}"
    train_stage(Path(start), Path(rows), Path(data), Path(out), recipe, 3, work, "finetuning", ranks, divided)


def launched(segments: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """Run the segments in two processes, started as the stages are."""
    command = launch_command(Compute(nodes=1, processes_per_node=2), [], {})
    command[command.index("sharegpt4v.cli") - 1 :] = [__file__, json.dumps(segments, default=str)]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def main(segments: str) -> None:
    """Take the segments one after another, each with a new model and engine."""
    ranks = join(1)
    try:
        for segment in json.loads(segments):
            if "start" in segment:
                fine_tune(**segment, ranks=ranks)
                continue
            run(Path(segment.pop("work")), Path(segment.pop("out")), ranks=ranks, **segment)
    except Stopped as stopped:
        sys.exit(128 + stopped.number)


if __name__ == "__main__":
    main(*sys.argv[1:])
