"""Any family by its own files: packed as apart, answers as transformers' own, checkpoints that load without us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sharegpt4v.config.base_models import Published
from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Request, plain
from sharegpt4v.generation.local import Generator
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.images.usable import Usable
from sharegpt4v.models.auto_images import visual_ids
from sharegpt4v.models.auto_model import PACKED
from sharegpt4v.models.auto_rows import encode_rows
from sharegpt4v.models.family import AUTO, family_named, family_of, name_in
from sharegpt4v.models.importing import import_checkpoint
from sharegpt4v.models.templates import IGNORED
from sharegpt4v.training.loss import loss_of
from sharegpt4v.training.packing import collate
from sharegpt4v.training.ranks import SINGLE_RANK
from sharegpt4v.training.rows import tokenise, with_visual_ids
from sharegpt4v.training.samples import Samples, Tally, write_samples
from sharegpt4v.training.stages import train_stage
from small_training import RECIPE, row
from tiny_auto import write_auto
from tiny_llava import write_pictures

SIZES = ((64, 48), (30, 64), (48, 48), (96, 20))
FAMILY = family_named(AUTO)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Pictures of several shapes, and rows of one and two rounds with and without them."""
    data = tmp_path_factory.mktemp("auto")
    rows = []
    for number, (path, words) in enumerate(write_pictures(data, 8).items()):
        with Image.open(data / path) as picture:
            picture.resize(SIZES[number % len(SIZES)]).save(data / path)
        rows.append(row(path, *[f"A {words}.", "5"][: 1 + number % 2]))
    return data, [*rows, row(None, "It is red."), row(None, "Blue.", "Yes.")]


@pytest.fixture(scope="module", params=PACKED)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_auto(request.param, tmp_path_factory.mktemp(request.param) / "model")


def messages_of(row: dict[str, Any], data: Path) -> list[dict[str, Any]]:
    """Return the row as transformers' own processors take it."""
    messages = []
    for turn in row["conversations"]:
        image = [{"type": "image", "image": open_rgb(data / row["image"])}] if "<image>" in turn["value"] else []
        content = [*image, {"type": "text", "text": turn["value"].removeprefix("<image>\n")}]
        messages.append({"role": {"human": "user", "gpt": "assistant"}[turn["from"]], "content": content})
    return messages


def transformers_ids(processor: Any, messages: Any, **settings: Any) -> Any:
    """Return what the processor makes of a conversation by itself, in one call."""
    if "smolvlm" in type(processor).__module__ or "SmolVLM" in type(processor).__name__:
        text = processor.tokenizer.apply_chat_template(messages, tokenize=False, **settings)  # else it asks for videos
        images = [part["image"] for message in messages for part in message["content"] if "image" in part]
        return processor(text=[text], images=[images] if images else None, return_tensors="pt")
    return processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt", **settings)


def samples_of(processor: Any, rows: Any, data: Path, folder: Path) -> Samples:
    tally = Tally()
    tokens = tokenise(rows, FAMILY, processor.tokenizer, "v1", 200, "rows", tally)
    sized = with_visual_ids(tokens, lambda size: FAMILY.visual_ids(processor, size), Usable(data), "rows", tally)
    write_samples(folder, sized, FAMILY.image_id(processor.tokenizer), 1, tally)
    return Samples(folder, data)


def test_ids_are_those_of_the_processor_and_answers_are_supervised(
    folder: Path, data: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    model, processor = FAMILY.load(folder)
    assert name_in(folder) == AUTO and family_of(model) is FAMILY
    samples = samples_of(processor, data[1], data[0], tmp_path / "samples")
    for one, found in zip(data[1], samples, strict=True):
        messages = messages_of(one, data[0])
        assert found.ids == transformers_ids(processor, messages)["input_ids"][0].tolist()
        learned = [label for label in found.labels if label != IGNORED]
        said = processor.tokenizer.decode(learned)
        end = processor.tokenizer.eos_token
        answers = [turn["value"] for turn in one["conversations"] if turn["from"] == "gpt"]
        assert [text.strip() for text in said.split(end)] == [*answers, ""]
        asked = transformers_ids(processor, messages[:1], add_generation_prompt=True)["input_ids"][0].tolist()
        if "onevision" not in folder.parent.name:  # whose template asks in another way than it answers
            assert found.ids[: len(asked)] == asked and found.labels[len(asked)] == found.ids[len(asked)]


def test_packed_rows_give_the_loss_of_rows_apart(
    folder: Path, data: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    model, processor = FAMILY.load(folder)
    images = FAMILY.images_by(processor, model.config, "pad")
    samples = samples_of(processor, data[1], data[0], tmp_path / "samples")
    numbers = list(range(len(samples)))
    weights = {number: 1 / (number + 7) for number in numbers}
    FAMILY.set_trainable(model, True, True, 0)

    def loss(rows: list[list[int]], length: int) -> Any:
        batch = collate(samples, rows, length, processor.tokenizer.pad_token_id, weights)
        opened = [open_rgb(path) for path in batch.images]
        return loss_of(model, batch, images.tensors(opened) if opened else None)

    apart = sum(loss([[number]], len(samples[number].ids)) for number in numbers)
    apart.backward()
    gradients = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    longest = sum(samples.lengths[:5])
    packed = loss([numbers[:5], numbers[5:]], max(longest, sum(samples.lengths[5:])) + 3)
    packed.backward()
    assert abs(packed - apart) <= 1e-5 * apart
    for name, one in model.named_parameters():
        if one.requires_grad:
            torch.testing.assert_close(one.grad, gradients[name], rtol=1e-3, atol=1e-5)
    # A batch of texts alone uses every parameter, too, and learns nothing from the blank image.
    model.zero_grad()
    loss([numbers[-2:]], sum(samples.lengths[-2:])).backward()
    parts: dict[str, float] = {}
    for name, one in model.named_parameters():
        if one.requires_grad:
            assert one.grad is not None, name
            part = FAMILY.part_of(name)
            parts[part] = parts.get(part, 0) + float(one.grad.abs().sum())
    assert parts["llm"] > 0 and parts["tower"] == parts["projector"] == 0


def test_answers_in_a_batch_are_those_alone_and_those_of_transformers(
    folder: Path, data: tuple[Path, list[dict[str, Any]]]
) -> None:
    questions = [f"Is there a {word}?" for word in ("circle", "red square in it", "small one", "night")]
    rows = [row(one.get("image"), "x", question=questions[n % 4]) for n, one in enumerate(data[1])]
    requests = [
        Request(questions[n % 4], data[0] / one["image"] if "image" in one else None, 6 + n % 3)
        for n, one in enumerate(rows)
    ]
    together, alone = (dict(Generator(folder, size).answer(requests)) for size in (4, 1))
    assert together == alone and len(set(one.text for one in alone.values())) > len(rows) // 2

    model, processor = FAMILY.load(folder)
    model.eval()
    for number, one in enumerate(rows):
        inputs = transformers_ids(processor, messages_of(one, data[0])[:1], add_generation_prompt=True)
        new = model.generate(**inputs, max_new_tokens=6 + number % 3, do_sample=False)
        text = processor.decode(new[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert plain(text) == alone[number].text


def test_a_conversation_is_asked_as_it_is_trained(folder: Path) -> None:
    _, processor = FAMILY.load(folder)
    rounds = [("What color is it?", "Red."), ("Is it?", "Yes.")]
    question = FAMILY.later_question(rounds, "Sure?")
    turns = [text for one in rounds for text in one] + ["Sure?"]
    messages = [
        {"role": ("user", "assistant")[n % 2], "content": [{"type": "text", "text": text}]}
        for n, text in enumerate(turns)
    ]
    expected = transformers_ids(processor, messages, add_generation_prompt=True)["input_ids"][0].tolist()
    assert FAMILY.prompt_ids(processor.tokenizer, question, False, None, 1) == expected
    asked = FAMILY.prompt_ids(processor.tokenizer, question, True, "Be short.", 1)
    assert asked.count(FAMILY.image_id(processor.tokenizer)) == 1
    assert "Be short." in processor.tokenizer.decode(asked)


def test_a_stage_resumes_and_its_checkpoint_loads_without_us(
    folder: Path, data: tuple[Path, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    recipe = Recipe(**RECIPE | {"epochs": 2, "checkpoint_minutes": 1e-6, "tune_vit_from_layer": 1})

    def train(out: Path, work: Path) -> None:
        train_stage(folder, data[1], data[0], out, recipe, 3, work, "captioner", SINGLE_RANK)

    train(tmp_path / "whole", tmp_path / "work")
    metrics = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert len(metrics) >= 3 and metrics[-1]["loss"] < metrics[0]["loss"]

    with monkeypatch.context() as patch:
        taken = []

        def killed(model: Any, batch: Any, pixels: Any) -> Any:
            taken.append(batch)
            if len(taken) == 3:
                raise KeyboardInterrupt
            return loss_of(model, batch, pixels)

        patch.setattr("sharegpt4v.training.step.loss_of", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut", tmp_path / "work-cut")
    assert not (tmp_path / "cut").exists() and any((tmp_path / "work-cut").glob("*/samples"))
    train(tmp_path / "cut", tmp_path / "work-cut")
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "cut" / file.name).read_bytes(), file.name

    alone: Any = AutoModelForImageTextToText.from_pretrained(tmp_path / "whole")
    settings = alone.generation_config
    assert not settings.do_sample and settings.repetition_penalty is None
    ours, _ = FAMILY.load(tmp_path / "whole")
    loaded = dict(alone.named_parameters())
    assert all(one.equal(loaded[name]) for name, one in ours.named_parameters())
    before = dict(FAMILY.load(folder)[0].named_parameters())
    learned = {FAMILY.part_of(name) for name in before if not before[name].equal(loaded[name])}
    assert learned == {"tower", "projector", "llm"}
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "whole").chat_template == (folder / "chat_template.jinja").read_text()
    )
    stored = json.loads((tmp_path / "whole/processor_config.json").read_text())
    if "qwen" in folder.parent.name:
        assert stored["image_processor"]["size"]["longest_edge"] == 576 * 8 * 8
        assert stored["video_processor"] == json.loads((folder / "preprocessor_config.json").read_text())


def test_rows_that_teach_nothing_have_a_reason_and_captions_can_be_plain(folder: Path) -> None:
    _, processor = FAMILY.load(folder)
    end = processor.tokenizer.eos_token
    marks = {"from": "human", "value": "<image> and <image>"}
    rows = [
        row("a.jpg", "red"),
        row("a.jpg", "red") | {"conversations": [marks, {"from": "gpt", "value": "a"}]},
        row("a.jpg", f"red {end}"),
        row("a.jpg", ""),
        row("a.jpg", "red") | {"conversations": [marks]},
        row("a.jpg", "red", question="Is it so? " * 40),
    ]
    found = list(encode_rows(rows, processor.tokenizer, "v1", 64))
    assert [one for one in found if isinstance(one, str)] == [
        "several <image> marks for one image", "a mark of the model's template in a turn", "an empty turn",
        "not questions of a human, each with an answer", "no answer within 64 tokens",
    ]  # fmt: skip
    text, plain = encode_rows([rows[0], row(None, "red")], processor.tokenizer, "plain", 64)
    assert text == "not an image with a question and a caption" and not isinstance(plain, str)
    assert processor.tokenizer.decode([one for one in plain.labels if one != IGNORED]) == "red\n"
    assert plain.ids.count(FAMILY.image_id(processor.tokenizer)) == 1 and plain.image == "a.jpg"
    assert "color" not in processor.tokenizer.decode(plain.ids)


def test_an_image_that_breaks_is_left_out_and_counted(
    data: tuple[Path, list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before its size is read, or only after."""
    folder = write_auto("qwen3_vl", tmp_path / "model")
    for one in data[1][:8]:
        (tmp_path / one["image"]).parent.mkdir(exist_ok=True)
        (tmp_path / one["image"]).write_bytes((data[0] / one["image"]).read_bytes())
    early, late = (tmp_path / data[1][number]["image"] for number in (1, 2))
    early.write_bytes(early.read_bytes()[:10])
    late.write_bytes(late.read_bytes()[:-100])
    recipe = Recipe(**RECIPE | {"checkpoint_minutes": 60})

    def train(images: Usable, out: str) -> None:
        rows = data[1][:8]
        train_stage(folder, rows, tmp_path, tmp_path / out, recipe, 3, tmp_path / "work", "captioner", images=images)

    train(Usable(tmp_path, missing="drop", largest_fraction=0.2), "out")
    left_out = json.loads((tmp_path / "out/provenance.json").read_text())["rows"]["left_out"]
    assert left_out == {"an image of no known size": 1, "an image that broke after its source was fetched": 1}
    assert "its row is left out" in (said := capsys.readouterr().err) and "its rows are left out" in said
    with pytest.raises(UserError, match="1 of 8 rows have an image of no known size, more than the allowed 10"):
        train(Usable(tmp_path, missing="drop", largest_fraction=0.1), "few")
    with pytest.raises(UserError, match=r"001\.jpg: an image of no known size"):
        train(Usable(tmp_path), "failing")


def test_gemma_3_is_refused_in_one_line(data: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    folder = write_auto("gemma3", tmp_path / "model")
    with pytest.raises(UserError, match=r"type gemma3 is not trained: samples packed .* one of internvl, ll"):
        train_stage(folder, data[1], data[0], tmp_path / "out", Recipe(**RECIPE), 3, tmp_path / "work", "captioner")
    with pytest.raises(UserError, match="Gemma3Processor: puts text around an image"):
        Generator(folder)


def test_a_type_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "lava"}')
    with pytest.raises(UserError, match=r"'lava' is not supported; expected one of llava.*, or one that AutoModel"):
        name_in(tmp_path)


def test_images_are_bounded_in_pixels_at_the_import(tmp_path: Path) -> None:
    for kind in ("qwen2_5_vl", "llava_onevision"):
        write_auto(kind, tmp_path / kind)
    import_checkpoint(Published(id=str(tmp_path / "qwen2_5_vl")), tmp_path / "small", most_pixels=16 * 64)
    _, processor = FAMILY.load(tmp_path / "small")
    assert len(visual_ids(processor, (640, 480))) <= 16 + len(("start", "end"))
    assert len(visual_ids(FAMILY.load(tmp_path / "qwen2_5_vl")[1], (640, 480))) > 500
    for kind, pixels in (("qwen2_5_vl", 10**9), ("llava_onevision", 1024)):
        with pytest.raises(UserError, match="most_pixels is"):
            import_checkpoint(Published(id=str(tmp_path / kind)), tmp_path / "none", most_pixels=pixels)
    assert not (tmp_path / "none").exists()
