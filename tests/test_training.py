"""A training stage: an ordinary checkpoint, only the named parts changed, the same bytes after a kill, no row lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from sharegpt4v.config.base_models import Transformer, VisionTower
from sharegpt4v.config.compute import SINGLE_PROCESS
from sharegpt4v.config.section import Section
from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from tiny_llava import write_llava, write_pictures, write_tower_and_llm

RECIPE: dict[str, Any] = {
    "learning_rate": 2e-3, "batch_size": 2, "batch_of": "rows", "sequence_length": 96, "template": "v1",
    "image_aspect_ratio": "pad", "precision": "float32", "gradient_clip": 1.0,
}  # fmt: skip
World = tuple[tuple[Path, Path], list[dict[str, Any]], Path]
CHILD = """
import json, sys
from pathlib import Path
from sharegpt4v.config.training import Recipe
from sharegpt4v.training.stages import train_stage
start, rows, data, out, recipe, work = sys.argv[1:]
start = tuple(map(Path, start.split(","))) if "," in start else Path(start)
recipe, speeds = Recipe(**json.loads(recipe)), Path(out).with_suffix(".speeds")
train_stage(start, Path(rows), Path(data), Path(out), recipe, 3, Path(work), "finetuning", speeds=speeds)
"""


def row(image: str | None, *answers: str, question: str = "What color is it?") -> dict[str, Any]:
    turns: list[dict[str, str]] = []
    for answer in answers:
        mark = "<image>\n" if image and not turns else ""
        turns += [{"from": "human", "value": mark + question}, {"from": "gpt", "value": answer}]
    return {"id": image or "text", **({"image": image} if image else {}), "conversations": turns}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Base models with tied words as the mini preset has them, pictures, rows with and without images."""
    folder = tmp_path_factory.mktemp("training")
    pictures = write_pictures(folder / "data", 24)
    rows = [row(image, words, words.split()[0]) for image, words in pictures.items()]
    rows += [row(None, f"It is {word}.") for word in ("red", "blue", "green")]
    write_json(folder / "rows.json", rows)
    return write_tower_and_llm(folder, tied=True), rows, folder


def arguments(world: World, out: Path, work: Path, start: Any = None, **recipe: Any) -> list[Any]:
    parts, _, folder = world
    start = ",".join(map(str, parts)) if start is None else str(start)
    return [start, folder / "rows.json", folder / "data", out, json.dumps(RECIPE | recipe), work]


def run(arguments: Iterable[object]) -> subprocess.Popen[bytes]:
    """Start the stage in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, arguments)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def train(
    start: Any,
    rows: Any,
    world: World,
    out: Path,
    compute: Any = None,
    **recipe: Any,
) -> None:
    from sharegpt4v.training.ranks import SINGLE_RANK
    from sharegpt4v.training.stages import train_stage

    data, settings = world[2] / "data", Recipe(**(RECIPE | recipe))
    compute = compute or SINGLE_PROCESS
    train_stage(start, rows, data, out, settings, 3, out.parent / "work", "finetuning", SINGLE_RANK, compute)


def weights(folder: Path) -> dict[str, Any]:
    from sharegpt4v.models.building import load_llava

    return dict(load_llava(folder)[0].named_parameters())


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


def test_killed_stage_continues_and_ends_with_the_same_bytes(world: World, tmp_path: Path) -> None:
    recipe = {"epochs": 10, "checkpoint_minutes": 1e-6, "tune_vit_from_layer": 1}
    cut = run(arguments(world, tmp_path / "cut", tmp_path / "work-cut", **recipe))
    record = wait_for(lambda: list((tmp_path / "work-cut").glob("*/speeds.jsonl")), cut)[0]
    wait_for(lambda: len(record.read_text().splitlines()) >= 3, cut)
    cut.send_signal(signal.SIGKILL)
    cut.wait()
    assert not (tmp_path / "cut").exists()
    before = record.read_text().splitlines()

    again = run(arguments(world, tmp_path / "cut", tmp_path / "work-cut", **recipe))
    train(world[0], world[2] / "rows.json", world, tmp_path / "whole", **recipe)  # the same, uninterrupted
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


def stored(rows: Any, tokenizer: Any, recipe: Any, image_tokens: Any, data: Any, folder: Any) -> Any:
    """The samples of rows, by way of their folder."""
    from sharegpt4v.models.family import family_named
    from sharegpt4v.training.rows import read_rows, tokenise
    from sharegpt4v.training.samples import Samples, Tally, write_samples

    tally, read = Tally(), (row for _, row in read_rows(rows, data, "rows"))
    tokens = tokenise(
        read, family_named("llava"), tokenizer, recipe.template, recipe.sequence_length, "finetuning", tally
    )
    write_samples(folder, tokens, tokenizer.convert_tokens_to_ids("<image>"), image_tokens, tally)
    return Samples(folder, data)


def test_rows_are_tokenised_once_and_every_process_reads_the_same(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    from sharegpt4v.models.templates import IGNORED, encode, v1_text
    from sharegpt4v.training import samples as storing

    tokenizer, rows = AutoTokenizer.from_pretrained(world[0][1]), world[1]
    samples = stored(rows, tokenizer, Recipe(**RECIPE), 4, world[2] / "data", tmp_path / "samples")
    image_id = tokenizer.convert_tokens_to_ids("<image>")
    assert len(samples) == len(rows) and samples.images == 24
    assert samples.lengths == [len(sample.ids) for sample in samples]
    assert samples.supervised == [sample.supervised for sample in samples]
    short = Recipe(**(RECIPE | {"sequence_length": max(samples.lengths) - 3 - 2}))  # an image's mark counts as one
    cut = stored(rows, tokenizer, short, 4, world[2] / "data", tmp_path / "cut")
    assert cut.supervised == [sample.supervised for sample in cut] and sum(cut.supervised) < sum(samples.supervised)
    for sample, one in zip(samples, rows, strict=True):
        trained = encode(tokenizer, *v1_text(one["conversations"]), 4)
        assert (sample.ids, sample.labels) == (trained.ids, trained.labels)
        assert sample.image == (world[2] / "data" / one["image"] if "image" in one else None)
        assert sample.ids.count(image_id) == (4 if sample.image else 0)
        assert all(label in (IGNORED, token) for token, label in zip(sample.ids, sample.labels, strict=True))
    again = storing.Samples(tmp_path / "samples", world[2] / "data")
    assert again[-1] == samples[len(rows) - 1] and again[1:3] == [samples[1], samples[2]]
    with pytest.raises(IndexError):
        samples[len(rows)]


def test_loss_of_packed_rows_is_that_of_separate_ones(world: World, tmp_path: Path) -> None:
    import torch

    from sharegpt4v.models.building import image_token_count, load_llava
    from sharegpt4v.models.pixels import Squares
    from sharegpt4v.training.loss import loss_of
    from sharegpt4v.training.packing import collate
    from sharegpt4v.training.pictures import Pictures

    model, processor = load_llava(write_llava(tmp_path))
    model.train()
    rows, tokens = world[1][:6] + world[1][-2:], image_token_count(model.config)
    samples = stored(rows, processor.tokenizer, Recipe(**RECIPE), tokens, world[2] / "data", tmp_path / "samples")
    pictures = Pictures(samples.images, Squares(24, "pad"), torch.device("cpu"))

    everything = list(range(len(samples)))
    weights = {index: 1 / sum(samples.supervised) for index in everything}

    def loss(rows: Any, capacity: Any, positions: Any = None) -> Any:
        batch = collate(samples, rows, capacity, 0, weights)
        batch.positions = batch.positions if positions is None else positions
        return loss_of(model, batch, pictures(batch.images) if batch.images else None).item()

    capacity = max(samples.lengths) * 3
    packed = loss([everything[0::3], everything[1::3], everything[2::3], []], capacity)
    assert packed == pytest.approx(sum(loss([[index]], samples.lengths[index]) for index in everything), abs=1e-5)
    # the same samples without their borders would give another loss: the measure sees what it should
    leaking = loss([everything[0::3]], capacity, torch.arange(capacity)[None])
    assert abs(leaking - loss([everything[0::3]], capacity)) > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "coco/gone.jpg"}, r"row 2 \(id coco/001\.jpg\): no image .*coco/gone\.jpg"),
        ({"conversations": [{"from": "human"}]}, r"row 2, field 'conversations\[0\]\.value': nothing"),
    ],
)
def test_row_that_is_none_is_named(world: World, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    rows = [world[1][0], world[1][1] | change]
    with pytest.raises(UserError, match=message):
        train(world[0], rows, world, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rows_that_are_cut_or_left_out_are_counted(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "a <image>"}]
    rows = [
        world[1][0],
        world[1][1] | {"conversations": marks},
        row(None, "It is red. " * 40),
        row(None, "red", question="What color is it? " * 40),
    ]
    train(world[0], rows, world, tmp_path / "out")
    reasons = "1 left out: several <image> marks for one image; 1 left out: no answer within 96 tokens"
    assert f"finetuning: 1 of 4 rows cut; {reasons} (longest: 96 tokens)" in capsys.readouterr().err
    about = json.loads((tmp_path / "out/provenance.json").read_text())["rows"]
    assert (about["read"], about["cut"], sum(about["left_out"].values())) == (4, 1, 2)
    with pytest.raises(UserError, match=r"no row has an answer to learn \(.*4 left out: not an image with a question"):
        train(world[0], world[1][-3:] + world[1][:1], world, tmp_path / "plain", template="plain")
    assert not (tmp_path / "plain").exists()


def test_broken_image_is_named(world: World, tmp_path: Path) -> None:
    import torch

    from sharegpt4v.models.pixels import Squares
    from sharegpt4v.training.pictures import Pictures

    (tmp_path / "broken.jpg").write_bytes((world[2] / "data" / world[1][0]["image"]).read_bytes()[:300])
    pictures = Pictures(1, Squares(24, "pad"), torch.device("cpu"))
    with pytest.raises(UserError, match=r"broken\.jpg: the image cannot be decoded"):
        pictures([tmp_path / "broken.jpg"])


def test_an_image_that_breaks_later_is_left_out_and_counted(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its manifest says that it is fine, and so it is only found out when a batch needs it."""
    import torch

    from sharegpt4v.images.usable import Usable
    from sharegpt4v.training.stages import train_stage

    rows, data = [row(f"{number}.png", "a red circle") for number in range(6)], tmp_path / "data"
    data.mkdir()
    for one, old in zip(rows, world[1], strict=False):
        (data / one["image"]).write_bytes((world[2] / "data" / old["image"]).read_bytes())
    cut = (data / "2.png").read_bytes()[:100]

    def trained(name: str, answer: Any, images: Any) -> dict[str, Any]:
        rows[2] = row("2.png", answer)
        recipe, out = Recipe(**(RECIPE | {"epochs": 3})), tmp_path / name
        train_stage(world[0], rows, data, out, recipe, 3, tmp_path / f"{name}-work", "finetuning", images=images)
        return weights(out)

    fine = trained("fine", "a blue square", Usable(data))
    assert "left_out" not in (tmp_path / "fine/metrics.jsonl").read_text()
    (data / "2.png").write_bytes(cut)
    with pytest.raises(UserError, match=r"2\.png: the image cannot be decoded .*fetch its source again"):
        trained("failing", "a blue square", Usable(data))
    with pytest.raises(UserError, match=r"finetuning: \d of 18 samples .* broken since, more than the allowed 1\.0%"):
        trained("dropping", "a blue square", Usable(data, missing="drop", largest_fraction=0.01))
    blue, green = (
        trained(answer, f"a {answer} square", Usable(data, missing="drop", largest_fraction=0.2))
        for answer in ("blue", "green")
    )
    assert all(torch.equal(blue[name], green[name]) for name in blue)  # nothing is learned from its row
    assert not all(torch.equal(blue[name], fine[name]) for name in blue)
    metrics = [json.loads(line) for line in (tmp_path / "blue/metrics.jsonl").read_text().splitlines()]
    assert sum(one.get("left_out", 0) for one in metrics) == 3  # once in each epoch
    left_out = json.loads((tmp_path / "blue/provenance.json").read_text())["rows"]["left_out"]
    assert left_out == {"an image that broke after its source was fetched": 3}
    assert "2.png: the image cannot be decoded" in (said := capsys.readouterr().err) and "its rows are left out" in said


def test_pictures_are_the_same_from_memory(world: World) -> None:
    import torch

    from sharegpt4v.models.pixels import Squares
    from sharegpt4v.training.pictures import Pictures

    images = [world[2] / "data" / one["image"] for one in world[1] if "image" in one]
    pictures = Pictures(len(images), Squares(24, "square"), torch.device("cpu"))
    first = pictures(images)["pixel_values"]
    assert first.shape == (24, 3, 24, 24) and first.dtype == torch.float32
    assert pictures.keeps and pictures(images)["pixel_values"].equal(first)
    pictures.keeps, pictures._kept = False, {}
    assert pictures(images)["pixel_values"].equal(first) and not pictures._kept
