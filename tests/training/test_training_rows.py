"""Rows as training reads them: tokenised once, packed, cut, counted; broken images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError
from small_training import (
    RECIPE,
    World,
    row,
    stored,
    train,
    weights,
    world,  # noqa: F401  (fixtures)
)
from tiny_llava import write_llava


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
    from sharegpt4v.training.batch_images import BatchImages
    from sharegpt4v.training.loss import loss_of
    from sharegpt4v.training.packing import collate

    model, processor = load_llava(write_llava(tmp_path))
    model.train()
    rows, tokens = world[1][:6] + world[1][-2:], image_token_count(model.config)
    samples = stored(rows, processor.tokenizer, Recipe(**RECIPE), tokens, world[2] / "data", tmp_path / "samples")
    pictures = BatchImages(samples.images, Squares(24, "pad"))

    everything = list(range(len(samples)))
    weights = {index: 1 / sum(samples.supervised) for index in everything}

    def loss(rows: Any, capacity: Any, positions: Any = None) -> Any:
        batch = collate(samples, rows, capacity, 0, weights)
        batch.positions = batch.positions if positions is None else positions
        return loss_of(model, batch, pictures(batch.images).pixels if batch.images else None).item()

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

    from sharegpt4v.models.pixels import Squares
    from sharegpt4v.training.batch_images import BatchImages

    (tmp_path / "broken.jpg").write_bytes((world[2] / "data" / world[1][0]["image"]).read_bytes()[:300])
    pictures = BatchImages(1, Squares(24, "pad"))
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
    from sharegpt4v.training.batch_images import BatchImages

    images = [world[2] / "data" / one["image"] for one in world[1] if "image" in one]
    pictures = BatchImages(len(images), Squares(24, "square"))

    def pixels() -> torch.Tensor:
        found = pictures(images).pixels
        assert found is not None
        return found["pixel_values"]

    first = pixels()
    assert first.shape == (24, 3, 24, 24) and first.dtype == torch.float32
    assert pictures.keeps and pixels().equal(first)
    pictures.keeps, pictures._kept = False, {}
    assert pixels().equal(first) and not pictures._kept
