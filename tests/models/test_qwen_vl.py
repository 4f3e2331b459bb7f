"""Qwen-VL-Chat is what its authors' code makes of it: logits, ids, labels and pixels; and it trains, saves and answers.

The numbers of `golden/qwen_vl.json` come from that code, see `benchmarks/official_qwen.py`.
"""

from __future__ import annotations

import base64
import json
import unicodedata
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import tiktoken
import torch
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoProcessor

import tiny_qwen
from conftest import PROJECT
from sharegpt4v.config.base_models import BaseModels
from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Request, plain
from sharegpt4v.generation.local import Generator
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.family import Tokens, family_named, name_in
from sharegpt4v.models.qwen_vl.modeling import QwenVL, QwenVLConfig
from sharegpt4v.models.qwen_vl.tokenizer import PATTERN, SPECIAL, text_ids
from sharegpt4v.training.stages import train_stage
from tiny_llava import write_pictures

FAMILY = family_named("qwen_vl")
QUESTION = "What color is it?"
GOLDEN: dict[str, Any] = json.loads((PROJECT / "tests/golden/qwen_vl.json").read_text())
LETTERS = [*"abcdeXYZ019.,:'\"()é中😀\n\té\u0301ſ", *[" "] * 8, *tiny_qwen.WORDS, "<|im_end|>", "<ref>", "'LL", "\r\n"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint as Qwen's authors would publish it."""
    return tiny_qwen.write_original(tmp_path_factory.mktemp("qwen") / "original")


@pytest.fixture(scope="module")
def folder(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint in our layout."""
    return imported(original, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> tuple[Any, Any]:
    model, processor = FAMILY.load(folder)
    return model.eval(), processor.tokenizer


def imported(original: Path, out: Path) -> Path:
    def find(name: str) -> Path:
        raise AssertionError(f"Qwen-VL names no other checkpoint, such as {name}")

    FAMILY.import_original(original, out, find)
    return out


def test_logits_are_those_of_the_authors_code(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    images = FAMILY.images(model.config, "pad")
    pixels = images.tensors([images.prepare(tiny_qwen.picture())])["pixel_values"]
    count, every = FAMILY.image_tokens(model.config), 31
    for kind, shown in (("image", pixels), ("text", None)):
        ids = FAMILY.prompt_ids(tokenizer, QUESTION, kind == "image", None, count)
        with torch.no_grad():
            logits = model(torch.tensor([ids]), shown).logits[0, :, ::every]
        assert torch.allclose(logits, torch.tensor(GOLDEN[kind]["logits"]), rtol=0, atol=1e-5), kind
    with torch.no_grad():
        other = model(torch.tensor([FAMILY.prompt_ids(tokenizer, QUESTION, True, None, count)]), pixels + 0.1).logits
    assert (other[0, -1, ::every] - torch.tensor(GOLDEN["image"]["logits"][-1])).abs().max() > 1e-3


def test_prompts_have_the_ids_of_the_authors_code(loaded: tuple[Any, Any]) -> None:
    tokenizer, image = loaded[1], tiny_qwen.id_of("<img>")
    assert FAMILY.image_id(tokenizer) == tiny_qwen.id_of("<imgpad>")
    for kind in ("image", "text"):
        theirs = list(GOLDEN[kind]["ids"])
        if kind == "image":  # the path of the image is among theirs
            first = theirs.index(image) + 1
            theirs[first : first + tiny_qwen.QUERIES] = [tiny_qwen.id_of("<imgpad>")] * tiny_qwen.QUERIES
        assert FAMILY.prompt_ids(tokenizer, QUESTION, kind == "image", None, tiny_qwen.QUERIES) == theirs


def test_rows_have_the_ids_and_labels_of_the_authors_code(loaded: tuple[Any, Any]) -> None:
    tokenizer = loaded[1]
    official = list(FAMILY.encode_rows(tiny_qwen.ROWS, tokenizer, "qwen_official", 2048))
    answers = list(FAMILY.encode_rows(tiny_qwen.ROWS, tokenizer, "v1", 2048))
    supervised = []
    for row, marked, own, theirs in zip(tiny_qwen.ROWS, official, answers, GOLDEN["rows"], strict=True):
        assert isinstance(marked, Tokens) and isinstance(own, Tokens)
        assert marked == Tokens(theirs["ids"], theirs["labels"], row.get("image"))
        assert (own.ids, own.image) == (marked.ids, marked.image)
        assert all(ours in (label, -100) for ours, label in zip(own.labels, marked.labels, strict=True))
        supervised.append(tokenizer.decode([label for label in own.labels if label != -100]))
    assert supervised == [
        "It is a red circle. 😀<|im_end|>\n\n\nblue, é and 中文\n<|im_end|>\n",
        "A mark in <ref>a text</ref>: <|im_end|> 1234567  <|im_end|>\n",
        "<|im_end|>\n",
    ]


def test_rows_that_cannot_be_learned_have_a_reason(loaded: tuple[Any, Any]) -> None:
    def reason(*values: str, image: str | None = "p", longest: int = 99, template: str = "v1") -> Any:
        turns = [{"from": ("human", "gpt")[place % 2], "value": value} for place, value in enumerate(values)]
        rows = [{"image": image, "conversations": turns}]
        return next(FAMILY.encode_rows(rows, loaded[1], template, longest))

    assert reason("<image>\na<image>", "b") == "several <image> marks for one image"
    assert reason("a", "b <image>") == "an <image> mark in an answer"
    assert reason("a") == reason("a" * 99, "b") == "no answer within 99 tokens"
    assert reason() == "turns do not alternate between human and gpt"
    assert reason("a", "b").image is None  # as in LLaVA's code, an image without a mark is dropped
    with pytest.raises(UserError, match="template 'plain': not one of Qwen-VL-Chat; expected v1 or qwen_official"):
        reason("a", "b", template="plain")
    with pytest.raises(UserError, match="template 'qwen_official': not one of LLaVA; expected one of v1, plain"):
        next(family_named("llava").encode_rows([], loaded[1], "qwen_official", 99))
    with pytest.raises(UserError, match=r"sequence_length 2,049: Qwen-VL-Chat reads 2,048 tokens"):
        reason("a", "b", longest=2049)


def test_every_text_has_the_ids_of_tiktoken(loaded: tuple[Any, Any]) -> None:
    ranks = {token: rank for rank, token in enumerate(tiny_qwen.tokens())}
    special = {token: len(ranks) + place for place, token in enumerate(SPECIAL)}
    theirs = tiktoken.Encoding("qwen", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)
    random = Random(0)
    texts = ["".join(random.choices(LETTERS, k=random.randint(0, 40))) for _ in range(3000)]
    for text, ids in zip(texts, text_ids(loaded[1], texts), strict=True):
        assert ids == theirs.encode(unicodedata.normalize("NFC", text), allowed_special="all"), repr(text)


def test_a_mark_of_images_in_a_text_is_text(loaded: tuple[Any, Any]) -> None:
    tokenizer = loaded[1]
    ids = FAMILY.prompt_ids(tokenizer, "What is <img> and <imgpad>?", True, None, 4)
    assert (ids.count(tiny_qwen.id_of("<img>")), ids.count(tiny_qwen.id_of("<imgpad>"))) == (1, 4)
    assert "What is <img> and <imgpad>?" in tokenizer.decode(ids)
    assert text_ids(tokenizer, ["<|im_end|>"]) == [[tiny_qwen.id_of("<|im_end|>")]]  # the tokenizer is as it was


def test_anyone_loads_the_processor_and_gets_prompt_and_pixels_of_training(
    folder: Path, loaded: tuple[Any, Any]
) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    asked = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    text = processor.apply_chat_template([{"role": "user", "content": asked}], add_generation_prompt=True)
    assert text == tiny_qwen.PROMPT.format("Picture 1: <img><imgpad></img>\n")
    found = processor(images=[tiny_qwen.picture()], text=text, return_tensors="pt")
    assert found["input_ids"].tolist() == [FAMILY.prompt_ids(loaded[1], QUESTION, True, None, tiny_qwen.QUERIES)]
    images = FAMILY.images(loaded[0].config, "square")
    assert torch.equal(found["pixel_values"], images.tensors([images.prepare(tiny_qwen.picture())])["pixel_values"])
    said = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it red?"},
        {"role": "assistant", "content": "It is."}, {"role": "user", "content": QUESTION},
    ]  # fmt: skip
    later = FAMILY.later_question([("Is it red?", "It is.")], QUESTION)
    asked_ids = processor.tokenizer.apply_chat_template(said, add_generation_prompt=True)["input_ids"]
    assert asked_ids == FAMILY.prompt_ids(loaded[1], later, False, "Be brief.", 4)


def test_a_conversation_goes_on_as_it_is_trained(loaded: tuple[Any, Any]) -> None:
    values = [f"<image>\n{QUESTION}", "It is red.", "Is it the circle?", "Yes."]
    turns = [{"from": ("human", "gpt")[place % 2], "value": value} for place, value in enumerate(values)]
    (row,) = FAMILY.encode_rows([{"image": "p", "conversations": turns}], loaded[1], "v1", 99)
    assert isinstance(row, Tokens)
    asked = FAMILY.prompt_ids(loaded[1], FAMILY.later_question([(QUESTION, values[1])], values[2]), True, None, 1)
    assert row.ids[: len(asked)] == asked


def test_the_authors_layout_comes_back_byte_by_byte(original: Path, folder: Path, tmp_path: Path) -> None:
    FAMILY.export_original(folder, tmp_path)
    written = load_file(tmp_path / "model.safetensors")
    expected = {name: torch.from_numpy(value) for name, value in tiny_qwen.weights().items()}
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (written[name].dtype, written[name].tolist()) == (tensor.dtype, tensor.tolist()), name
    assert (tmp_path / "qwen.tiktoken").read_bytes() == (original / "qwen.tiktoken").read_bytes()
    settings = [json.loads((one / "config.json").read_text()) for one in (tmp_path, original)]
    assert settings[0] == settings[1] and FAMILY.recognises(settings[0])
    (again := tmp_path / "again").mkdir()
    imported(tmp_path, again)
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_only_a_qwen_with_a_vision_part_is_recognised(folder: Path) -> None:
    assert name_in(folder) == "qwen_vl"
    for config in ({}, {"architectures": ["QWenLMHeadModel"]}, {"architectures": ["LlavaLlamaForCausalLM"]}):
        assert not FAMILY.recognises(config | {"model_type": "qwen"})


def test_what_is_wrong_with_a_checkpoint_is_one_line(original: Path, tmp_path: Path) -> None:
    weights = {name: torch.from_numpy(value) for name, value in tiny_qwen.weights().items()}
    settings = json.loads((original / "config.json").read_text())
    vocabulary = (original / "qwen.tiktoken").read_bytes()

    def complaint(found: dict[str, Any] = weights, tokens: bytes = vocabulary, **changed: Any) -> str:
        save_file(found, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps(settings | changed))
        (tmp_path / "qwen.tiktoken").write_bytes(tokens)
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(UserError) as caught:
            imported(tmp_path, tmp_path / "out")
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
        assert not any((tmp_path / "out").iterdir())
        return str(caught.value)

    name = "transformer.h.1.attn.c_attn.bias"
    assert f"lacks the weights: {name} (1 in all)" in complaint({k: v for k, v in weights.items() if k != name})
    assert "has unknown weights: lora.a (1 in all)" in complaint(weights | {"lora.a": torch.zeros(1)})
    assert f"{name} is of shape [3]; expected" in complaint(weights | {name: torch.zeros(3)})
    assert "image_start_id is 568 of 640 ids" in complaint(tokens=vocabulary + base64.b64encode(b"zz") + b" 354\n")
    assert "no_bias is False; expected True" in complaint(no_bias=False)
    assert "cannot be used as a checkpoint" in complaint(visual={})
    assert "cannot be read" in complaint(tokens=b"a b c\n")
    assert "not a vocabulary of tiktoken" in complaint(tokens=b"YQ== 0\n")


def test_samples_of_a_packed_row_do_not_see_each_other(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    pixels = torch.from_numpy(np.random.RandomState(3).random_sample((2, 3, 56, 56)).astype(np.float32))
    samples = [FAMILY.prompt_ids(tokenizer, text, image, None, 4) for text, image in (("a", True), ("b", False))]
    samples.append(FAMILY.prompt_ids(tokenizer, "c", True, None, 4))
    shown = [{"pixel_values": pixels[:1]}, None, {"pixel_values": pixels[1:]}]
    places = [torch.arange(len(ids))[None] for ids in samples]
    with torch.no_grad():
        apart = [
            FAMILY.hidden(model, torch.tensor([ids]), place, image)
            for ids, place, image in zip(samples, places, shown, strict=True)
        ]
        ids = torch.tensor([[id for sample in samples for id in sample]])
        packed = FAMILY.hidden(model, ids, torch.cat(places, 1), {"pixel_values": pixels})
    assert torch.allclose(packed, torch.cat(apart, 1), rtol=0, atol=1e-5)


def test_costs_are_those_of_the_published_model() -> None:
    """Counted on a model without memory; attention looks back only, which torch's counter does not know."""
    config = QwenVLConfig(text_config={"intermediate_size": 11008})
    with torch.device("meta"):
        model = QwenVL(config)
    counts = {"transformer": 7_721_324_544, "visual.attn_pool": 76_054_528, "all": 9_656_935_168}
    found = {name: sum(p.numel() for key, p in model.named_parameters() if name in key) for name in counts}
    found["transformer"] = sum(p.numel() for key, p in model.named_parameters() if "visual" not in key)
    found["all"] = sum(p.numel() for p in model.parameters())
    assert found == counts
    models, size = BaseModels(), "7b"
    assert FAMILY.weights(models, size) == pytest.approx(counts["all"], rel=1e-3)
    recipe = Recipe(template="v1", sequence_length=1793)
    FAMILY.set_trainable(model, True, True, None)
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert learned == counts["transformer"] + counts["visual.attn_pool"]
    assert FAMILY.weights(models, size, recipe) == pytest.approx(learned, rel=1e-3)
    pixels = torch.empty((1, 3, 448, 448), device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.visual(pixels)
        embedded, unmasked = torch.empty((1, 456, 4096), device="meta"), {"full_attention": None}
        model.language_model(inputs_embeds=embedded, attention_mask=unmasked, use_cache=False)
    assert FAMILY.reading_flops(models, size, 200) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_answers_are_equal_in_a_batch_and_alone(folder: Path, tmp_path: Path) -> None:
    pictures = [tmp_path / path for path in write_pictures(tmp_path, 5)]
    questions = [QUESTION, "Is it a red circle or a blue square?", "What is the image?"]
    requests = [Request(question, picture, 6) for question in questions for picture in pictures]
    requests += [Request(question, None, 6) for question in questions]
    together = dict(Generator(folder, 8).answer(requests))
    alone = dict(Generator(folder, 1).answer(requests))
    assert together == alone and len({answer.text for answer in together.values()}) > len(questions)
    assert all("<" not in answer.text for answer in together.values())
    model, processor = FAMILY.load(folder)
    images = FAMILY.images(model.config, "pad")
    pixels = images.tensors([images.prepare(open_rgb(pictures[0]))])["pixel_values"]
    ids = torch.tensor([FAMILY.prompt_ids(processor.tokenizer, QUESTION, True, None, tiny_qwen.QUERIES)])
    written = model.eval().generate(ids, pixel_values=pixels, max_new_tokens=6)[0, ids.shape[1] :]
    assert plain(processor.tokenizer.decode(written, skip_special_tokens=True)) == together[0].text


def test_llm_and_resampler_learn_and_a_stopped_training_goes_on(folder: Path, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "data", 8)
    rows: list[dict[str, Any]] = []
    for image, words in pictures.items():
        turns = [{"from": "human", "value": f"<image>\n{QUESTION}"}, {"from": "gpt", "value": f"It is a {words}."}]
        rows.append({"id": image, "image": image, "conversations": turns})
    text = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "red"}]
    rows.append({"id": "text", "conversations": text})
    recipe = Recipe(
        learning_rate=1e-4, batch_size=4, epochs=4, template="v1", sequence_length=256, precision="float32",
        schedule="constant", adam_beta2=0.95, weight_decay=0.1, warmup_ratio=0.01, gradient_clip=1.0,
    )  # fmt: skip

    def trained(name: str) -> Path:
        out = tmp_path / name
        train_stage(folder, rows, tmp_path / "data", out, recipe, 3, tmp_path / f"work-{name}", "finetuning")
        return out

    whole = trained("whole")
    losses = [json.loads(line)["loss"] for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 12 and losses[-1] < 0.8 * losses[0]
    before, after = load_file(folder / "model.safetensors"), load_file(whole / "model.safetensors")
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {name for name in before if FAMILY.part_of(name) != "tower"}

    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            trained("cut")
    cut = trained("cut")
    for path in whole.iterdir():
        assert (cut / path.name).read_bytes() == path.read_bytes(), path.name


def stop_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    """End a training in the step after the state of so many was saved, as a kill does."""
    from sharegpt4v.training.saved_states import SavedStates

    check = SavedStates.check

    def stopping(states: SavedStates) -> None:
        taken = getattr(states, "taken", 0)
        if taken == steps:
            states.save(taken)
            states.finish()
            raise KeyboardInterrupt
        states.taken = taken + 1  # type: ignore[attr-defined]
        check(states)

    patch.setattr(SavedStates, "check", stopping)
