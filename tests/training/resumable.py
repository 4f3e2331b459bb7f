"""A small training on text, as a program: `torchrun resumable.py WORK OUT ZERO_STAGE STOP_AFTER PRECISION`.

It stops after a step as by a signal, 0 for never, and writes losses and weights into the folder `OUT`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sharegpt4v.config.compute import SINGLE_PROCESS
from sharegpt4v.config.training import Recipe
from sharegpt4v.files import write_json
from sharegpt4v.lifetime import Stopped
from sharegpt4v.models.templates import Sample
from sharegpt4v.training.ranks import SINGLE_RANK, Ranks, join
from sharegpt4v.training.run import train

STEPS = 10


def run(
    work: Path, out: Path, stop_after: int = 0, ranks: Ranks = SINGLE_RANK, precision: Any = "float32", **more: Any
) -> list[float]:
    """Train a new model, or what `work` has of it; return the losses of the steps that were taken."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(5)
    size: Any = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=61, max_position_embeddings=64, **size))
    samples = [Sample(ids := torch.randint(3, 61, (7 + n % 5,)).tolist(), ids) for n in range(STEPS * 2 - 1)]
    recipe = Recipe(batch_size=4, epochs=2, learning_rate=1e-2, weight_decay=0.1, precision=precision, **more)
    losses: list[float] = []

    def record(row: Mapping[str, float]) -> None:
        losses.append(row["loss"])
        if row["step"] == stop_after:
            os.kill(os.getpid(), signal.SIGUSR1)

    try:
        train(model, samples, recipe, 3, work, "text", record=record, ranks=ranks, compute=SINGLE_PROCESS)
    except Stopped:
        assert stop_after
    if not ranks.rank:
        out.mkdir(parents=True)
        write_json(out / "losses.json", losses)
        model.save_pretrained(out)
    return losses


def main(work: str, out: str, zero_stage: str, stop_after: str, precision: str) -> None:
    import deepspeed

    initialize = deepspeed.initialize

    def at_stage(config: dict[str, Any], **more: Any) -> Any:
        config["zero_optimization"]["stage"] = int(zero_stage)
        return initialize(config=config, **more)

    deepspeed.initialize = at_stage
    run(Path(work), Path(out), int(stop_after), join(1), precision)


if __name__ == "__main__":
    main(*sys.argv[1:])
