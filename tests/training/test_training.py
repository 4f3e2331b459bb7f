"""A training as a whole: checkpoint, parts that train, kills, micro-batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import pytest

from sharegpt4v.config.base_models import Projector, Transformer, VisionTower
from sharegpt4v.config.compute import SINGLE_PROCESS
from sharegpt4v.config.section import Section
from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.miniature import of_miniature
from sharegpt4v.models.linear_projector import as_one_layer
from small_training import (
    RECIPE,
    World,
    row,
    train,
    weights,
    world,  # noqa: F401  (fixtures)
)
from tiny_llava import write_llava, write_pictures

CHILD = """
import json, sys
from pathlib import Path
from sharegpt4v.config.training import Recipe
from sharegpt4v.training.stages import train_stage
start, rows, data, out, recipe, work, projector = sys.argv[1:]
start = tuple(map(Path, start.split(","))) if "," in start else Path(start)
recipe, speeds = Recipe(**json.loads(recipe)), Path(out).with_suffix(".speeds")
train_stage(
    start, Path(rows), Path(data), Path(out), recipe, 3, Path(work), "finetuning", speeds=speeds, projector=projector
)
"""


def arguments(world: World, out: Path, work: Path, projector: Projector = "mlp2x_gelu", **recipe: Any) -> list[Any]:
    parts, _, folder = world
    start = ",".join(map(str, parts))
    return [start, folder / "rows.json", folder / "data", out, json.dumps(RECIPE | recipe), work, projector]


def run(arguments: Iterable[object]) -> subprocess.Popen[bytes]:
    """Start the stage in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, arguments)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def test_checkpoint_is_an_ordinary_folder_that_learned(world: World, tmp_path: Path) -> None:
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    parts, rows, folder = world
    train(parts, rows, world, tmp_path / "aligned", epochs=12)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "aligned")
    processor = AutoProcessor.from_pretrained(tmp_path / "aligned")
    inputs = processor(
        images=[Image.open(folder / "data" / rows[0]["image"])],
        text=processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What color is it?"}]}],
            add_generation_prompt=True,
        ),
        return_tensors="pt",
    )
    with torch.no_grad():
        assert model(**inputs).logits.isfinite().all()
    metrics = [json.loads(line) for line in (tmp_path / "aligned/metrics.jsonl").read_text().splitlines()]
    assert [one["step"] for one in metrics] == list(range(1, len(metrics) + 1))
    assert metrics[-1]["loss"] < 0.7 * metrics[0]["loss"]
    about = json.loads((tmp_path / "aligned/provenance.json").read_text())
    assert about["stage"] == "finetuning" and about["seed"] == 3 and len(about["inputs"]) == 2
    assert "miniature" not in about
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aligned", "work"]
    assert not any((tmp_path / "work").iterdir())


def test_base_models_of_the_drawn_world_are_a_start(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from sharegpt4v.mini.base_stage import make_llm, make_tokenizer, make_tower
    from sharegpt4v.training.stages import train_stage

    pictures = write_pictures(tmp_path / "data", 12)
    write_json(tmp_path / "rows.json", [row(image, words) for image, words in pictures.items()])
    width: dict[str, Any] = {"hidden_size": 32, "layers": 3, "heads": 2, "mlp_size": 64}
    steps: Any = {"steps": 3, "batch_size": 4, "learning_rate": 1e-3}
    tower = VisionTower(**width, image_size=24, patch_size=12, training=steps)
    for name in ("one", "two"):
        folder = tmp_path / name
        make_tokenizer(folder / "tokenizer", 800, 0)
        tokenizer = folder / "tokenizer"
        make_tower(tmp_path / "rows.json", tmp_path / "data", folder / "tower", tower, tokenizer, 0)
        make_llm(Transformer(**width), folder / "llm", TextTraining(), tokenizer, 0, tmp_path / "work")
        start, recipe = (folder / "tower", folder / "llm"), Recipe(**(RECIPE | {"template": "plain"}))
        data, work = tmp_path / "data", tmp_path / "work"
        train_stage(start, tmp_path / "rows.json", data, folder / "aligned", recipe, 0, work, "alignment")
        assert not any(work.iterdir())
        assert all(of_miniature(folder / part) for part in ("tower", "llm", "aligned"))
    for part in ("tokenizer/tokenizer.json", *(f"{part}/model.safetensors" for part in ("tower", "llm", "aligned"))):
        assert (tmp_path / "one" / part).read_bytes() == (tmp_path / "two" / part).read_bytes(), part
    loaded: Any = AutoTokenizer.from_pretrained(tmp_path / "one/llm")
    assert len(loaded) <= 800 and loaded.convert_tokens_to_ids("<image>") > 0
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        make_llm(Transformer(**width), tmp_path / "llm", TextTraining(), tmp_path / "gone", 0, tmp_path / "work")


class TextTraining(Section):
    """The shortest training on text that has all its phases."""

    rows: int = 60
    batch_size: int = 4
    learning_rate: float = 1e-3


def test_only_the_named_parts_learn(world: World, tmp_path: Path) -> None:
    start = write_llava(tmp_path)
    before = weights(start)
    for name, recipe, learned in (
        ("projector", {"train_llm": False}, ("multi_modal_projector",)),
        ("frozen-tower", {}, ("multi_modal_projector", "language_model", "lm_head")),
        # of three layers the last is not used, and the first stays as it was
        ("upper-half", {"tune_vit_from_layer": 1}, ("projector", "language_model", "lm_head", "encoder.layers.1.")),
    ):
        train(start, world[1], world, tmp_path / name, **recipe)
        after = weights(tmp_path / name)
        changed = {key for key in before if not before[key].equal(after[key])}
        assert changed and all(any(part in key for part in learned) for key in changed)
        assert all(any(part in key for key in changed) for part in learned)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_identity_behind_a_linear_projector_never_learns(precision: str, world: World, tmp_path: Path) -> None:
    recipe: dict[str, Any] = {"precision": precision, "weight_decay": 0.1, "learning_rate": 1e-2}
    first = {"template": "plain", "train_llm": False, "image_aspect_ratio": "square"}
    pairs = [one | {"conversations": one["conversations"][:2]} for one in world[1] if "image" in one]
    train(world[0], pairs, world, tmp_path / "aligned", projector="linear", **recipe, **first)
    train(tmp_path / "aligned", world[1], world, tmp_path / "finetuned", **recipe)
    projectors = [projector_of(tmp_path / name) for name in ("aligned", "finetuned")]
    as_one_layer(projectors[0])
    as_one_layer(projectors[1])
    assert not projectors[0]["linear_1.weight"].equal(projectors[1]["linear_1.weight"])
    assert json.loads((tmp_path / "finetuned/config.json").read_text())["projector_hidden_act"] == "linear"


def projector_of(folder: Path) -> dict[str, Any]:
    prefix = "model.multi_modal_projector."
    return {key.removeprefix(prefix): value for key, value in weights(folder).items() if key.startswith(prefix)}


@pytest.mark.parametrize("projector", get_args(Projector))
def test_killed_stage_continues_and_ends_with_the_same_bytes(
    projector: Projector, world: World, tmp_path: Path
) -> None:
    recipe: dict[str, Any] = {"epochs": 10, "checkpoint_minutes": 1e-6, "tune_vit_from_layer": 1}
    cut = run(arguments(world, tmp_path / "cut", tmp_path / "work-cut", projector, **recipe))
    record = wait_for(lambda: list((tmp_path / "work-cut").glob("*/speeds.jsonl")), cut)[0]
    wait_for(lambda: len(record.read_text().splitlines()) >= 3, cut)
    cut.send_signal(signal.SIGKILL)
    cut.wait()
    assert not (tmp_path / "cut").exists()
    before = record.read_text().splitlines()

    again = run(arguments(world, tmp_path / "cut", tmp_path / "work-cut", projector, **recipe))
    # The same, uninterrupted.
    train(world[0], world[2] / "rows.json", world, tmp_path / "whole", projector=projector, **recipe)
    assert again.wait() == 0
    record = (tmp_path / "cut.speeds").read_text().splitlines()
    assert [json.loads(line)["step"] for line in record] == list(range(1, len(record) + 1))
    # Speeds of a run that had begun anew would differ. The last one's state may not have been saved.
    assert len(record) > len(before) and record[: len(before) - 1] == before[:-1]
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "cut").iterdir())
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name
    assert not any((tmp_path / "work-cut").iterdir())


def test_a_second_run_on_a_work_directory_is_told_who_trains(world: World, tmp_path: Path) -> None:
    first = run(arguments(world, tmp_path / "out", tmp_path / "work"))
    wait_for(lambda: any((tmp_path / "work").glob("*.lock")), first)
    with pytest.raises(UserError, match=f"process {first.pid} on .* is writing it; wait until that has ended"):
        train(world[0], world[2] / "rows.json", world, tmp_path / "second")
    assert first.wait() == 0 and (tmp_path / "out/config.json").exists() and not (tmp_path / "second").exists()
    assert not any((tmp_path / "work").iterdir())


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[Any]) -> Any:
    for _ in range(6000):
        if found := condition():
            return found
        assert process.poll() is None, "ended too soon"
        time.sleep(0.01)
    raise AssertionError("nothing happened in a minute")


def test_a_step_is_of_so_many_samples_however_they_go_through_the_memory(world: World, tmp_path: Path) -> None:
    rows = world[1]
    thrifty = SINGLE_PROCESS.model_copy(update={"rows_at_once": 1, "recompute_activations": True})
    losses = {}
    for name, compute in (("all_at_once", SINGLE_PROCESS), ("thrifty", thrifty)):
        train(world[0], rows, world, tmp_path / name, compute, batch_size=8, batch_of="samples", epochs=2)
        metrics = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses[name] = [json.loads(line)["loss"] for line in metrics]
    assert len(losses["thrifty"]) == 2 * -(-len(rows) // 8)
    assert losses["thrifty"] == pytest.approx(losses["all_at_once"], abs=1e-4)
