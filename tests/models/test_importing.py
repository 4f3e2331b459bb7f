"""Checkpoints of others come in and go out: no weight changes a byte, and none is missing, unknown or the wrong one.

The logits to compare with are computed here from the original weights. LLaVA's own code was asked too, once, by hand:
at c121f04 with transformers 4.37.2 in float32 it reads the export of `resaved` with equal ids and, for the prompt and
pixels of these tests, with logits within 2.2e-6; without `unfreeze_mm_vision_tower` it takes the plain tower (3.8 off).
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from original_llava import (
    CLIP,
    PIECES,
    TUNED,
    VISION_HEADS,
    VISION_LAYERS,
    VISION_MLP,
    VISION_WIDTH,
    Weights,
    drawn,
    inside,
    llava_weights,
    sentencepiece_model,
    tower_shapes,
    tuned,
    write_original,
    write_tower,
)
from sharegpt4v import load
from sharegpt4v.cli import main
from sharegpt4v.config.base_models import Published
from sharegpt4v.errors import UserError
from sharegpt4v.models.building import load_llava
from sharegpt4v.models.exporting import export_checkpoint
from sharegpt4v.models.importing import import_checkpoint
from sharegpt4v.models.saving import save_llava
from sharegpt4v.models.templates import CHAT_TEMPLATE, IMAGE, prompt_ids, prompt_text
from sharegpt4v.models.weight_files import tensors_of, write_weights

ROWS = 448  # of embeddings, a multiple of 64
LLAVA_HF = re.compile(
    r"(vision_tower\.vision_model|language_model\.(model|lm_head)|multi_modal_projector\.linear_[12])\."
)
SHARE4V: dict[str, Any] = {
    "architectures": ["Share4VLlamaForCausalLM"],
    "model_type": "share4v",
    "mm_vision_tower": TUNED,
}


@pytest.fixture(scope="module")
def plain() -> Weights:
    return drawn(tower_shapes(), 1, torch.float16)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory, plain: Weights) -> Path:
    """A folder with LLaVA-1.5-7B and ShareGPT4V-7B as their authors have them, and their towers beside them."""
    folder = tmp_path_factory.mktemp("downloads")
    write_tower(folder / Path(CLIP).name, plain)
    write_tower(folder / Path(TUNED).name, {name: weight.bfloat16() for name, weight in tuned(plain).items()})
    write_original(folder / "llava", llava_weights())
    write_original(folder / "resaved", llava_weights() | inside(tuned(plain)), "safetensors")
    write_original(folder / "ShareGPT4V-7B", llava_weights(torch.bfloat16), **SHARE4V)
    return folder


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> dict[str, Path]:
    """Three of the downloads as this project has them."""
    folder = tmp_path_factory.mktemp("imported")
    return {name: take(downloads / name, folder / name) for name in ("llava", "resaved", "ShareGPT4V-7B")}


def take(folder: Path, out: Path) -> Path:
    import_checkpoint(Published(id=str(folder)), out)
    return out


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each weight's bytes with its type and shape, without those that a model computes."""
    return {
        name: hashlib.sha256(
            f"{tensor.dtype} {tuple(tensor.shape)}".encode()
            + tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
        ).hexdigest()
        for name, tensor in tensors_of(folder)
        if not name.endswith("inv_freq")
    }


def test_the_names_are_as_many_as_the_published_files_have(downloads: Path) -> None:
    assert len(llava_weights()) == 327 and len(tower_shapes()) == 391
    assert len(hashes(downloads / "resaved")) == 686


@pytest.mark.parametrize("name", ["llava", "resaved", "ShareGPT4V-7B"])
def test_there_and_back_no_weight_has_changed(
    name: str, downloads: Path, imported: dict[str, Path], tmp_path: Path
) -> None:
    ours = imported[name]
    assert [weight for weight in hashes(ours) if not LLAVA_HF.match(weight)] == [] and len(hashes(ours)) == 686
    export_checkpoint(ours, "original", tmp_path / "back")
    before, after = hashes(downloads / name), hashes(tmp_path / "back")
    tower = {} if name == "resaved" else hashes(downloads / Path(CLIP if name == "llava" else TUNED).name)
    assert after == before | {f"model.vision_tower.vision_tower.{weight}": digest for weight, digest in tower.items()}
    settings = json.loads((tmp_path / "back/config.json").read_text())
    original = json.loads((downloads / name / "config.json").read_text())
    changed = {key for key in original if original[key] != settings.get(key)}
    assert changed <= {"_name_or_path", "pretraining_tp", *SHARE4V, "torch_dtype"}
    assert (settings["mm_vision_tower"], settings["unfreeze_mm_vision_tower"]) == (CLIP, True)
    assert (tmp_path / "back/tokenizer.model").read_bytes() == (downloads / name / "tokenizer.model").read_bytes()
    again = take(tmp_path / "back", tmp_path / "again")
    for file in sorted(ours.iterdir()):
        if file.name != "provenance.json":
            assert (again / file.name).read_bytes() == file.read_bytes(), file.name


def reference_logits(weights: Weights, tower: Weights, ids: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """What LLaVA computes: CLIP's last layer but one without the class token, Linear, GELU, Linear, in the place of
    `<image>` among the embeddings, and Llama."""
    config = CLIPVisionConfig(
        hidden_size=VISION_WIDTH, intermediate_size=VISION_MLP, num_hidden_layers=VISION_LAYERS,
        num_attention_heads=VISION_HEADS, image_size=336, patch_size=14,
    )  # fmt: skip
    clip, llama = CLIPVisionModel(config), LlamaForCausalLM(
        LlamaConfig(
            vocab_size=PIECES, hidden_size=16, intermediate_size=24, num_hidden_layers=32, num_attention_heads=2,
            max_position_embeddings=4096, rms_norm_eps=1e-5,
        )
    )  # fmt: skip
    clip.load_state_dict({name.removeprefix("vision_model."): weight.float() for name, weight in tower.items()})
    llama.load_state_dict({name: weights[name].float() for name in llama.state_dict()})
    feature = clip.eval()(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
    for number in (0, 2):
        part = (weights[f"model.mm_projector.{number}.{kind}"].float() for kind in ("weight", "bias"))
        feature = torch.nn.functional.linear(feature, *part)
        feature = torch.nn.functional.gelu(feature) if number == 0 else feature
    place = int((ids[0] == PIECES).nonzero()[0])
    before, after = (llama.model.embed_tokens(part) for part in (ids[:, :place], ids[:, place + 1 :]))
    logits: torch.Tensor = llama.eval()(inputs_embeds=torch.cat([before, feature, after], 1)).logits
    return logits


@pytest.mark.parametrize("name", ["llava", "ShareGPT4V-7B"])
def test_what_it_computes_is_what_the_original_weights_compute(
    name: str, plain: Weights, downloads: Path, imported: dict[str, Path]
) -> None:
    model, processor = load_llava(imported[name])
    one = prompt_ids(processor.tokenizer, prompt_text("What is it?", True), 1)
    pixels = torch.randn(1, 3, 336, 336, generator=torch.Generator().manual_seed(2))
    weights = dict(tensors_of(downloads / name))
    with torch.inference_mode():
        expected = reference_logits(
            weights,
            plain if name == "llava" else dict(tensors_of(downloads / Path(TUNED).name)),
            torch.tensor([one]),
            pixels,
        )
        whole = prompt_ids(processor.tokenizer, prompt_text("What is it?", True), 576)
        found = model.eval()(input_ids=torch.tensor([whole]), pixel_values=pixels).logits
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found[..., :PIECES], expected, atol=2e-5, rtol=1e-5)


def test_it_is_saved_as_a_model_trained_here(downloads: Path, imported: dict[str, Path], tmp_path: Path) -> None:
    ours = imported["ShareGPT4V-7B"]
    config = json.loads((ours / "config.json").read_text())
    assert (config["dtype"], config["model_type"], config["text_config"]["vocab_size"]) == ("bfloat16", "llava", ROWS)
    model, processor = load_llava(ours)
    assert processor.image_processor.do_pad and processor.chat_template == CHAT_TEMPLATE
    assert processor.tokenizer.convert_tokens_to_ids(IMAGE) == PIECES == model.config.image_token_id
    settings = json.loads((ours / "generation_config.json").read_text())
    assert settings["suppress_tokens"] == [*range(PIECES, ROWS)] and not settings.keys() & {"temperature", "top_p"}
    for embedding in (model.get_input_embeddings(), model.get_output_embeddings()):
        mean = embedding.weight[:PIECES].mean(0).bfloat16().float()
        assert torch.equal(embedding.weight[PIECES:], mean.expand(ROWS - PIECES, -1))
    save_llava(model.bfloat16(), processor, tmp_path / "saved")
    assert hashes(tmp_path / "saved") == hashes(ours)
    for file in sorted((tmp_path / "saved").iterdir()):
        if file.name not in ("config.json", "tokenizer_config.json", "model.safetensors"):
            assert file.read_bytes() == (ours / file.name).read_bytes(), file.name
    saved = json.loads((tmp_path / "saved/config.json").read_text())
    for part in ("text_config", "vision_config"):  # in which transformers notes the precision of the loading
        assert saved[part].pop("dtype")
    assert saved == config
    about = json.loads((ours / "provenance.json").read_text())["checkpoints"]
    assert about.keys() == {str(downloads / "ShareGPT4V-7B"), CLIP, TUNED}
    file = downloads / Path(TUNED).name / "pytorch_model.bin"
    assert about[TUNED]["files"][file.name] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert load(ours).ask(None, "Hello?", 2) is not None


def test_a_sharegpt4v_with_the_plain_tower_is_refused(
    plain: Weights, downloads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, out = llava_weights(), tmp_path / "out"
    folder = write_original(downloads / "named", weights, **SHARE4V | {"mm_vision_tower": CLIP})
    with pytest.raises(UserError, match=r"named: mm_vision_tower is openai/clip.*; ShareGPT4V's tower is a tuned one"):
        take(folder, out)
    folder = write_original(downloads / "whole", weights | inside(plain), **SHARE4V)
    with pytest.raises(UserError, match=r"layers 12, 13, .*, 22 of the vision tower are those of openai/clip"):
        take(folder, out)
    half = plain | {name: weight for name, weight in tuned(plain).items() if ".20." not in name}
    folder = write_original(downloads / "half", weights | inside(half), **SHARE4V)
    with pytest.raises(UserError, match=r"layers 20 of the vision tower"):
        take(folder, out)
    assert not out.exists()
    folder = write_original(tmp_path / "alone/right", weights | inside(tuned(plain)), **SHARE4V)
    take(folder, out)
    assert "the vision tower is not compared with the plain one: openai/clip" in capsys.readouterr().err


def test_what_is_not_a_whole_llava_is_refused_by_name(plain: Weights, downloads: Path, tmp_path: Path) -> None:
    weights, out = llava_weights(), tmp_path / "out"
    without = {name: weight for name, weight in weights.items() if not name.startswith("model.layers.7.")}
    wrong_shape = weights | {"model.norm.weight": torch.ones(17)}
    projector, mistral = {"mm_projector_type": "linear"}, {"architectures": ["LlavaMistralForCausalLM"]}
    cases: list[tuple[Weights, dict[str, Any], str]] = [
        (without, {}, r"lacks the weights: language_model\.model\.layers\.7\.input_layernorm\.weight \(9 in all\)"),
        (weights | {"lora_A": torch.ones(1)}, {}, r"has weights that are unknown: lora_A \(1 in all\)"),
        (wrong_shape, {}, r"of another shape: language_model\.model\.norm\.weight \(17,\), not \(16,\), \(1 in all"),
        (weights, projector, r"config\.json: mm_projector_type is 'linear'; expected 'mlp2x_gelu'"),
        (weights, mistral, r"architectures 'LlavaMistralForCausalLM'; expected LlavaLlamaForCausalLM"),
        (weights, {"mm_vision_tower": "nobody/nothing"}, r"nobody/nothing: no such folder; expected one, or a Hugging"),
        (weights, {"auto_map": {"AutoModel": "x.Y"}}, r"config\.json: auto_map names code of its own"),
    ]
    for number, (given, settings, complaint) in enumerate(cases):
        folder = write_original(downloads / f"refused-{number}", given, **settings)
        with pytest.raises(UserError, match=complaint) as error:
            take(folder, out)
        assert "\n" not in str(error.value)
    (downloads / "refused-0/pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(UserError, match=r"pytorch_model-00002-of-00002\.bin: no such file; .* names it"):
        take(downloads / "refused-0", out)
    with pytest.raises(UserError, match=r"nobody/llava: no such folder; expected one, or a Hugging Face id with its"):
        import_checkpoint(Published(id="nobody/llava"), out)
    assert not out.exists()


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.write_text, (self.file, "here")


def test_a_pickle_that_would_run_code_is_refused(downloads: Path, tmp_path: Path) -> None:
    folder = write_original(downloads / "malicious", llava_weights())
    file = folder / "pytorch_model-00001-of-00002.bin"
    for write in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
        write({"model.norm.weight": Malicious(tmp_path / "written")}, file)
        with pytest.raises(UserError, match=r"00001-of-00002\.bin: cannot be used as a checkpoint") as error:
            take(folder, tmp_path / "out")
        assert "\n" not in str(error.value) and not (tmp_path / "written").exists()
    torch.save([1, 2], file)
    with pytest.raises(UserError, match="not weights by their names"):
        take(folder, tmp_path / "out")


@pytest.mark.parametrize(("names", "has_sentencepiece"), [("llava-hf", True), ("5.6", False), ("memory", False)])
def test_a_llava_of_transformers_gets_the_prompt_and_the_ids_of_its_training(
    names: str, has_sentencepiece: bool, imported: dict[str, Path], tmp_path: Path
) -> None:
    ours = imported["resaved"]
    theirs = llava_hf(ours, tmp_path / "llava-1.5-7b-hf", names, has_sentencepiece)
    again = take(theirs, tmp_path / "again")
    assert hashes(again) == hashes(ours)
    assert json.loads((again / "generation_config.json").read_text())["suppress_tokens"] == [*range(PIECES, ROWS)]
    (_, before), (_, after) = load_llava(ours), load_llava(again)
    assert after.chat_template == CHAT_TEMPLATE and after.image_processor.do_pad
    for text in (prompt_text("What is it?", True), f"a{IMAGE}\nimage", f"{IMAGE}\nA red circle.</s>USER: "):
        assert after.tokenizer(text).input_ids == before.tokenizer(text).input_ids
    assert (again / "tokenizer.model").exists() == has_sentencepiece
    if not has_sentencepiece:
        with pytest.raises(UserError, match=r"tokenizer\.model: no such file, which the layout has; copy that of the"):
            export_checkpoint(again, "original", tmp_path / "back")
    config = json.loads((theirs / "config.json").read_text())
    (theirs / "config.json").write_text(json.dumps(config | {"image_token_index": 7}))
    with pytest.raises(UserError, match=r"image_token_index is 7, by the vocabulary 384"):
        take(theirs, tmp_path / "refused")


def llava_hf(ours: Path, folder: Path, names: str, has_sentencepiece: bool) -> Path:
    """A folder as llava-hf's: CLIP's image processor, `<pad>`, another template, transformers' own tokenizer."""
    from safetensors.torch import save_file
    from transformers import AutoTokenizer, LlamaTokenizer

    folder.mkdir()
    weights = dict(tensors_of(ours))
    if names == "memory":
        model, _ = load_llava(ours)
        weights = {name: weight.half() for name, weight in model.state_dict().items()}
    elif names == "5.6":
        weights = {name.replace("vision_tower.vision_model.", "vision_tower."): one for name, one in weights.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((ours / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": PIECES + 1}))
    (folder / "tokenizer.model").write_bytes(sentencepiece_model())
    tokenizer: Any = LlamaTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([IMAGE, "<pad>"], special_tokens=True)
    tokenizer.chat_template = "{% for message in messages %}{{ message['role'].upper() }}: {% endfor %}"
    tokenizer.save_pretrained(folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert theirs.convert_tokens_to_ids("<pad>") == PIECES + 1
    if not has_sentencepiece:
        (folder / "tokenizer.model").unlink()
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "CLIPImageProcessor"}))
    return folder


@pytest.mark.parametrize("shard_bytes", [10**9, 100_000])
def test_weights_in_several_files_are_those_in_one(shard_bytes: int, imported: dict[str, Path], tmp_path: Path) -> None:
    ours = imported["resaved"]
    write_weights(tmp_path, tensors_of(ours), shard_bytes)
    assert hashes(tmp_path) == hashes(ours)
    names = sorted(file.name for file in tmp_path.iterdir())
    if shard_bytes == 10**9:
        assert names == ["model.safetensors"]
        return
    assert "model.safetensors.index.json" in names and names[0] == f"model-00001-of-{len(names) - 1:05d}.safetensors"
    for file in ours.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (_, before), (_, after) = load_llava(ours), load_llava(tmp_path)
    assert before.tokenizer("A red circle.").input_ids == after.tokenizer("A red circle.").input_ids


def test_the_verbs_write_and_say_in_one_line_why_not(
    downloads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, back = tmp_path / "ours", tmp_path / "back"
    assert main(["import", str(downloads / "llava"), "--out", str(ours)]) == 0
    assert main(["export", str(ours), "--layout", "original", "--out", str(back)]) == 0
    assert {file.name for file in back.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "provenance.json", "special_tokens_map.json",
        "tokenizer.model", "tokenizer_config.json",
    }  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    assert main(["import", str(downloads / "llava"), "--out", str(tmp_path / "mine")]) == 1
    assert main(["export", str(back), "--layout", "original", "--out", str(tmp_path / "no")]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and "mine: there already, and not made by this project" in told[0]
    assert "back: in LLaVA's own layout already" in told[1]
    assert (tmp_path / "mine/thesis.txt").exists() and not (tmp_path / "no").exists()
