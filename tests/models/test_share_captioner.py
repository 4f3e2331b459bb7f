"""Share-Captioner: the numbers of the originals of its parts, its names, its prompt, its captions by the engine."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceProcessor

from conftest import PROJECT
from share_captioner_files import (
    ADDED,
    CONFIG,
    INSTRUCTION,
    PIECES,
    QUERIES,
    pixels,
    weights,
    write_original,
    write_vocabulary,
)
from sharegpt4v import load
from sharegpt4v.errors import UserError
from sharegpt4v.generation.engine import Request, plain
from sharegpt4v.generation.local import Generator
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.family import family_named, name_in
from sharegpt4v.models.pixels import MEAN, STD
from sharegpt4v.models.share_captioner_folder import export_llm, prompt_embeddings
from sharegpt4v.models.share_captioner_text import BOT, END_OF_HUMAN, USER, read_tokenizer
from sharegpt4v.models.squashed import Squashed
from tiny_llava import write_pictures

EXPECTED = json.loads((PROJECT / "tests/golden/share_captioner/expected.json").read_text())
FAMILY = family_named("share_captioner")
LETTERS = [
    *"abcdeXYZ019.,:'\"()é中😀\n\t▁",
    *[" "] * 12,
    "<TOKENS_UNUSED_1>",
    "<TOKENS_UNUSED_10>",
    "The image",
    "cats",
]


def find(name: str) -> Path:
    raise UserError(f"{name}: nothing else is asked for")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_original(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def folder(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported")
    FAMILY.import_original(original, out, find)
    return out


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return FAMILY.load(folder)[0].eval()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    data = tmp_path_factory.mktemp("data")
    return [data / path for path in write_pictures(data, 9)]


def differ(found: torch.Tensor, expected: Any) -> float:
    return float((found - torch.tensor(expected)).abs().max())


@torch.inference_mode()
def test_the_parts_give_what_their_originals_give(model: Any) -> None:
    hidden = model.vision_tower(pixel_values=pixels()).last_hidden_state
    assert differ(hidden[0], EXPECTED["hidden"]) < 1e-5
    assert differ(model.resampler(hidden), EXPECTED["resampled"]) < 1e-5
    model.resampler.sees_class_token = False
    assert differ(model.resampler(hidden)[1], EXPECTED["resampled_without_class_token"]) < 1e-5
    model.resampler.sees_class_token = True


@torch.inference_mode()
def test_the_whole_gives_what_the_originals_give(model: Any) -> None:
    image = [model.config.image_token_id] * (QUERIES + 2)
    ids = torch.tensor([EXPECTED["prompt"]["before"] + image + EXPECTED["prompt"]["after"]] * 2)
    logits = model(input_ids=ids, pixel_values=pixels()).logits[:, -1]
    assert differ(logits, EXPECTED["logits"]) < 1e-5


def test_the_published_folder_is_recognised(folder: Path) -> None:
    assert FAMILY.recognises(CONFIG)
    assert FAMILY.recognises({"auto_map": CONFIG["auto_map"]})
    assert not FAMILY.recognises({"architectures": ["LlavaForConditionalGeneration"], "auto_map": None})
    assert name_in(folder) == "share_captioner"


def test_weights_come_back_byte_by_byte(folder: Path, tmp_path: Path) -> None:
    FAMILY.export_original(folder, tmp_path)
    back, published = load_file(tmp_path / "model.safetensors"), weights()
    assert back.keys() == {name for name in published if not name.endswith("inv_freq")}
    assert all(torch.equal(tensor, published[name]) for name, tensor in back.items())
    assert FAMILY.recognises(json.loads((tmp_path / "config.json").read_text()))


def test_safetensors_in_half_precision_stay_so(tmp_path: Path, original: Path) -> None:
    for name in ("config.json", "tokenizer.model", "added_tokens.json"):
        (tmp_path / name).write_bytes((original / name).read_bytes())
    save_file({name: tensor.bfloat16() for name, tensor in weights().items()}, tmp_path / "model.safetensors")
    (tmp_path / "out").mkdir()
    FAMILY.import_original(tmp_path, tmp_path / "out", find)
    stored = load_file(tmp_path / "out/model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ln_vision.weight": torch.ones(4)}, "unknown weight ln_vision.weight"),
        ({"Qformer.proj": torch.ones(4)}, "unknown weight Qformer.proj"),
        ({"Qformer.ln_post.bias": None}, "lacks weight Qformer.ln_post.bias"),
        ({"Qformer.query": None}, "lacks weight Qformer.query"),
        ({"visual_encoder.blocks.1.attn.v_bias": None}, "lacks weight visual_encoder.blocks.1.attn.v_bias"),
        ({"visual_encoder.blocks.1.norm2.bias": None}, "lacks weight visual_encoder.blocks.1.norm2.bias"),
        ({"internlm_proj.bias": torch.ones(3)}, r"internlm_proj.bias has the shape \(3,\); expected \(64,\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    changes: dict[str, torch.Tensor | None], message: str, tmp_path: Path
) -> None:
    original = write_original(tmp_path / "original", changes)
    with pytest.raises(UserError, match=message):
        FAMILY.import_original(original, tmp_path / "out", find)


def test_missing_files_are_named(tmp_path: Path) -> None:
    original = write_original(tmp_path)
    (original / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(UserError, match=r"pytorch_model-00002-of-00002\.bin: no such file"):
        FAMILY.import_original(original, tmp_path / "out", find)
    (original / "added_tokens.json").unlink()
    (original / "tokenizer.model").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.model: not there"):
        FAMILY.import_original(original, tmp_path / "out", find)


def test_texts_have_the_ids_of_sentencepiece(original: Path) -> None:
    tokenizer = read_tokenizer(original)
    reference = SentencePieceProcessor(model_file=str(original / "tokenizer.model"))
    assert [tokenizer.convert_tokens_to_ids(text) for text in ADDED] == [*range(PIECES, PIECES + 4)]
    random = Random(0)
    for _ in range(1000):
        text = "".join(random.choices(LETTERS, k=random.randint(2, 40)))
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ids == reference.encode(text), repr(text)
        assert tokenizer.decode(ids) == reference.decode(ids)


def test_a_vocabulary_without_the_marks_of_the_prompt_is_refused(tmp_path: Path) -> None:
    write_vocabulary(tmp_path, ("<TOKENS_UNUSED_1>", "<TOKENS_UNUSED_2>"))
    with pytest.raises(UserError, match="<TOKENS_UNUSED_0> does not come back as one id") as caught:
        read_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_prompt_is_the_two_pieces_of_the_script(folder: Path, original: Path, model: Any) -> None:
    tokenizer = FAMILY.load(folder)[1].tokenizer
    reference = SentencePieceProcessor(model_file=str(original / "tokenizer.model"))
    positions, image = FAMILY.image_tokens(model.config), FAMILY.image_id(tokenizer)
    assert (positions, image) == (QUERIES + 2, model.config.image_token_id)
    before = [reference.bos_id(), *reference.encode(USER)]
    after = reference.encode(f"{INSTRUCTION}{END_OF_HUMAN}\n{BOT}")
    assert FAMILY.prompt_ids(tokenizer, INSTRUCTION, True, None, positions) == [*before, *[image] * positions, *after]
    assert FAMILY.prompt_ids(tokenizer, INSTRUCTION, False, None, positions) == [*before, *after]
    assert reference.piece_to_id(END_OF_HUMAN) in after


def test_what_it_cannot_do_is_said_in_a_line(folder: Path, model: Any) -> None:
    tokenizer = FAMILY.load(folder)[1].tokenizer
    with pytest.raises(UserError, match="takes no system text"):
        FAMILY.prompt_ids(tokenizer, "What?", True, "Be brief.", 6)
    with pytest.raises(UserError, match="holds no conversation"):
        FAMILY.later_question([("What?", "A cat.")], "Where?")
    for call in (
        lambda: FAMILY.set_trainable(model, True, True, None),
        lambda: FAMILY.encode_rows([], tokenizer, "v1", 9),
    ):
        with pytest.raises(UserError, match="not trained here"):
            call()


def test_images_are_squashed() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 90, 3), np.uint8))
    images = Squashed(28)
    values = images.tensors([images.prepare(image), images.blank()])["pixel_values"]
    expected = np.asarray(image.resize((28, 28), Image.Resampling.BICUBIC), np.float32) / 255
    assert np.allclose(values[0].permute(1, 2, 0), (expected - np.array(MEAN)) / np.array(STD), atol=1e-6)
    assert values.shape == (2, 3, 28, 28)
    assert images.kept_bytes == 28 * 28 * 4


def test_captions_in_a_batch_are_those_alone(folder: Path, pictures: list[Path]) -> None:
    limits = [4 + 3 * number for number in range(len(pictures))]
    requests = [Request(INSTRUCTION, *pair) for pair in zip(pictures, limits, strict=True)]
    alone = dict(Generator(folder, 1).answer(requests))
    assert dict(Generator(folder, 4).answer(requests)) == alone
    assert len({answer.text for answer in alone.values()}) > len(pictures) // 2
    captions = list(load(folder, batch_size=4).caption(pictures, max_new_tokens=limits[-1]))
    assert captions[-1] == alone[len(pictures) - 1].text


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty`")  # just this is meant
def test_new_ids_are_penalised_as_transformers_does(folder: Path, pictures: list[Path], model: Any) -> None:
    """transformers sees no ids of a prompt that is embeddings, so its penalty is on the new ones alone too."""
    tokenizer = FAMILY.load(folder)[1].tokenizer
    captions: dict[float, list[str]] = {}
    for penalty in (1.0, 1.5):
        generator = Generator(folder, 4)
        assert generator.penalty == 1.5  # as imported
        generator.penalty = penalty
        answers = dict(generator.answer([Request(INSTRUCTION, picture, 24) for picture in pictures]))
        captions[penalty] = [answers[number].text for number in range(len(pictures))]
        for picture, caption in zip(pictures, captions[penalty], strict=True):
            prompt = prompt_embeddings(model, tokenizer, open_rgb(picture), INSTRUCTION)[None]
            settings = {"max_new_tokens": 24, "do_sample": False, "repetition_penalty": penalty}
            ends = model.generation_config.eos_token_id
            ids = model.language_model.generate(
                inputs_embeds=prompt, attention_mask=torch.ones(prompt.shape[:2]), eos_token_id=ends,
                pad_token_id=tokenizer.pad_token_id, **settings,
            )  # fmt: skip
            assert plain(tokenizer.decode(ids[0], skip_special_tokens=True)) == caption
    assert captions[1.0] != captions[1.5]


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty`")
def test_the_llm_alone_continues_prompt_embeddings(folder: Path, pictures: list[Path], tmp_path: Path) -> None:
    """What vLLM is given: a plain Llama, and embeddings for its prompts."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export_llm(folder, tmp_path / "llm")
    llm: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "llm")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "llm")
    assert (llm.config.model_type, llm.config.attention_bias) == ("llama", True)
    model = FAMILY.load(folder)[0]
    answers = dict(Generator(folder, 4).answer([Request(INSTRUCTION, picture, 16) for picture in pictures]))
    for number, picture in enumerate(pictures):
        prompt = prompt_embeddings(model, tokenizer, open_rgb(picture), INSTRUCTION)[None]
        ids = llm.generate(inputs_embeds=prompt, attention_mask=torch.ones(prompt.shape[:2]), max_new_tokens=16)
        assert plain(tokenizer.decode(ids[0], skip_special_tokens=True)) == answers[number].text


def test_generation_settings_are_greedy(folder: Path) -> None:
    settings = json.loads((folder / "generation_config.json").read_text())
    assert settings["do_sample"] is False
    assert not {"temperature", "top_p"} & settings.keys()
    assert settings["eos_token_id"] == [4, 2]  # the mark of an answer's end in this vocabulary, and `</s>`
