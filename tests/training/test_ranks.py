"""Several processes train one model as one does: the parts of a batch add up, and so do the steps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import BIN, ENVIRONMENT, copy_of
from sharegpt4v.config.compute import Compute
from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.training.launch import launch_command
from sharegpt4v.training.saved_states import complete_states
from small_training import RECIPE, World, stored, world  # noqa: F401  (a fixture)
from tiny_llava import write_llava


@pytest.mark.parametrize(
    ("processes", "rows_at_once", "more"),
    [
        (4, None, {"batch_of": "rows"}),
        (2, 1, {"batch_of": "samples"}),
        (4, 1, {"batch_of": "samples", "loss_parts": 2, "group_by_modality_length": True}),
    ],
)
def test_the_parts_of_a_batch_add_up_to_it(
    world: World,
    tmp_path: Path,
    processes: int,
    rows_at_once: int | None,
    more: dict[str, Any],
) -> None:
    import torch

    from sharegpt4v.models.building import image_token_count, load_llava
    from sharegpt4v.models.pixels import Squares
    from sharegpt4v.training.batch_images import BatchImages
    from sharegpt4v.training.batching import Dealer, batches
    from sharegpt4v.training.loss import loss_of
    from sharegpt4v.training.ranks import Ranks

    _, rows, folder = world
    model, processor = load_llava(write_llava(tmp_path))
    recipe = Recipe(**(RECIPE | {"batch_size": 4, "sequence_length": 37, **more}))
    some, tokens = rows[:4] + rows[-3:], image_token_count(model.config)  # some with images, some without
    samples = stored(some, processor.tokenizer, recipe, tokens, folder / "data", tmp_path / "samples")
    pictures = BatchImages(samples.images, Squares(24, "pad"))
    dealer = Dealer.of(samples, recipe, 3, recipe.sequence_length - 1 + tokens)

    def gradients(ranks: Any, rows_at_once: Any = None) -> Iterator[tuple[Any, Any, int]]:
        """Of each batch the loss and the gradients of this part, and how many images it has."""
        for dealt in batches(samples, dealer, 0, dealer.step_count(), 0, ranks, rows_at_once):
            model.zero_grad()
            total = 0.0
            for batch in dealt:
                loss = loss_of(model, batch, pictures(batch.images).pixels if batch.images else None)
                loss.backward()
                total += loss.item()
            found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
            yield total, found, sum(len(batch.images) for batch in dealt)

    imageless = 0
    parts = [gradients(Ranks(rank, processes), rows_at_once) for rank in range(processes)]
    for (loss, whole, images), *shares in zip(gradients(Ranks()), *parts, strict=True):
        assert loss == pytest.approx(sum(share[0] for share in shares), abs=1e-5)
        assert images == sum(share[2] for share in shares)
        for name, gradient in whole.items():
            assert all(name in share[1] for share in shares), name
            assert torch.allclose(gradient, sum(share[1][name] for share in shares), atol=1e-5), name
        imageless += sum(1 for share in shares if not share[2])
    assert imageless or more == {"batch_of": "samples"}


def test_two_processes_make_the_model_of_one_even_when_killed(smoke: Path, tmp_path: Path) -> None:
    folder = copy_of(smoke, tmp_path / "run")
    out = folder / "checkpoints/sharegpt4v-7b/finetuned"
    alone = losses(out)
    shutil.rmtree(out)
    settings = read_json(folder / ".work/config.json")
    settings["compute"] |= {"processes_per_node": 2, "wait_minutes": 2}
    settings["finetuning"]["checkpoint_minutes"] = 1e-5
    write_json(tmp_path / "two.json", settings)
    command = [str(BIN / "s4v"), "stage", "finetuning", "sharegpt4v-7b", "--config", str(tmp_path / "two.json")]
    with open(tmp_path / "said.txt", "wb") as said:
        launcher = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=said, stderr=said)
    try:
        end = time.monotonic() + 120
        while not any(map(complete_states, states := list(folder.glob(".work/finetuning/*/*/states")))):
            assert launcher.poll() is None and time.monotonic() < end, (tmp_path / "said.txt").read_text()
            time.sleep(0.01)
        ranks = children(launcher.pid)
        assert len(ranks) == 2
    finally:
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
    end = time.monotonic() + 10
    while any(alive(rank) for rank in ranks):  # nobody is left behind that would go on beside the next try
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not out.exists() and max(complete_states(states[0])) >= 1
    kept = (states[0].parent / "speeds.jsonl").read_text().splitlines()

    again = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr[-4000:]
    assert losses(out) == pytest.approx(alone, abs=1e-4)
    speeds = (folder / "logs/speeds/sharegpt4v-7b-finetuned.jsonl").read_text().splitlines()
    assert len(speeds) == len(alone) and speeds[: len(kept) - 1] == kept[:-1]
    assert not list(folder.glob(".work/finetuning/*/*"))


def losses(model: Path) -> list[float]:
    """The loss of every step of a training, in order."""
    rows = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["loss"] for row in rows]


def children(process: int) -> list[int]:
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(process: int) -> bool:
    """Whether a process is there and not only waits to be counted."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_command_line_is_the_same_for_one_node_and_many() -> None:
    command = launch_command(Compute(nodes=1, processes_per_node=8), ["pretrain", "7b"], {})
    assert command[1:5] == ["-m", "torch.distributed.run", "--nnodes=1", "--nproc-per-node=8"]
    assert command[-4:] == ["-m", "sharegpt4v.cli", "pretrain", "7b"]
    with pytest.raises(UserError, match=r"compute\.nodes is 2 and this is no Slurm job"):
        launch_command(Compute(nodes=2, processes_per_node=1), ["pretrain", "7b"], {"PATH": os.environ["PATH"]})
