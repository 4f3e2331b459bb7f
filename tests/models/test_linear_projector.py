"""The linear projector of LLaVA-7B: one layer in transformers' two, in LLaVA's own files, and with GELU for vLLM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from sharegpt4v.errors import UserError
from sharegpt4v.models.building import load_llava
from sharegpt4v.models.linear_projector import as_gelu, as_one_layer, as_two_layers, export_for_vllm
from tiny_llava import build_llava, write_llava, write_pictures, write_tower_and_llm

PRECISIONS = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_it_computes_what_one_layer_does_bit_by_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    model, _ = build_llava(*write_tower_and_llm(tmp_path, width=96), 1, "linear")
    projector = model.to(dtype).model.multi_modal_projector
    torch.nn.init.normal_(projector.linear_1.bias)  # as after training
    one = torch.nn.Linear(32, 96, dtype=dtype)
    one.load_state_dict(projector.linear_1.state_dict())
    features = torch.randn(2, 7, 32, dtype=dtype)
    assert torch.equal(projector(features), one(features))


def test_the_seed_draws_the_layer_and_nothing_else_differs(tmp_path: Path) -> None:
    parts = write_tower_and_llm(tmp_path)
    linear, other = (build_llava(*parts, 1, kind)[0] for kind in ("linear", "mlp2x_gelu"))
    differing = {
        name for name, weights in linear.state_dict().items() if not torch.equal(weights, other.state_dict()[name])
    }
    assert differing == {f"model.multi_modal_projector.linear_2.{part}" for part in ("weight", "bias")}
    assert not torch.equal(build_llava(*parts, 2, "linear")[0].model.multi_modal_projector.linear_1.weight,
                           linear.model.multi_modal_projector.linear_1.weight)  # fmt: skip
    assert (linear.config.projector_hidden_act, other.config.projector_hidden_act) == ("linear", "gelu")


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_files_of_one_layer_go_in_and_come_out_with_their_bytes(dtype: torch.dtype) -> None:
    weight, bias = torch.randn(96, 32, dtype=dtype), torch.randn(96, dtype=dtype)
    four = as_two_layers(weight, bias)
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in four.items()} == {
        "linear_1.weight": ((96, 32), dtype), "linear_1.bias": ((96,), dtype),
        "linear_2.weight": ((96, 96), dtype), "linear_2.bias": ((96,), dtype),
    }  # fmt: skip
    for before, after in zip((weight, bias), as_one_layer(four), strict=True):
        assert before.view(torch.uint8).equal(after.view(torch.uint8))
    four["linear_2.weight"][3, 4] = 1e-3
    with pytest.raises(UserError, match=r"multi_modal_projector\.linear_2\.weight: not that of an identity"):
        as_one_layer(four)


@pytest.mark.parametrize(("dtype", "largest"), [(torch.float32, 5e-7), (torch.bfloat16, 5e-3), (torch.float16, 6e-4)])
def test_with_gelu_it_errs_no_more_than_one_layer_does(dtype: torch.dtype, largest: float) -> None:
    torch.manual_seed(0)
    weight, bias, features = torch.randn(4096, 1024), torch.randn(4096), torch.randn(16, 1024)
    weight, bias, features = (weight / 32).to(dtype), bias.to(dtype), features.to(dtype)
    four = as_gelu(weight, bias)
    hidden = torch.nn.functional.gelu(features @ four["linear_1.weight"].T + four["linear_1.bias"])
    exact = features.double() @ weight.double().T + bias.double()
    found = torch.nn.functional.linear(hidden, four["linear_2.weight"], four["linear_2.bias"])
    one = torch.nn.functional.linear(features, weight, bias)
    error, least = (float((y.double() - exact).norm() / exact.norm()) for y in (found, one))
    assert error < largest and error < 1.5 * least


def test_a_checkpoint_for_vllm_says_the_same(tmp_path: Path) -> None:
    linear = write_llava(tmp_path, projector="linear", width=64)
    (tmp_path / "out").mkdir()
    export_for_vllm(linear, tmp_path / "out")
    assert json.loads((tmp_path / "out/config.json").read_text())["projector_hidden_act"] == "gelu"
    assert {path.name for path in linear.iterdir()} == {path.name for path in (tmp_path / "out").iterdir()}
    write_pictures(tmp_path, 2)
    expected, found = (logits(folder, tmp_path / "coco/000.jpg") for folder in (linear, tmp_path / "out"))
    assert float((found - expected).norm() / expected.norm()) < 2e-6
    assert not torch.equal(expected, logits(linear, tmp_path / "coco/001.jpg"))  # it looks at the picture
    before, after = load_llava(linear)[0].state_dict(), load_llava(tmp_path / "out")[0].state_dict()
    assert {name.rpartition(".linear_")[0] for name in before if not torch.equal(before[name], after[name])} == {
        "model.multi_modal_projector"
    }


def logits(folder: Path, picture: Path) -> torch.Tensor:
    """What transformers by itself computes for a question about a picture."""
    processor: Any = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    inputs = processor(images=[Image.open(picture)], text=text, return_tensors="pt")
    with torch.no_grad():
        found: torch.Tensor = model(**inputs).logits
    return found


def test_what_has_no_form_for_vllm_is_refused_in_one_line(tmp_path: Path) -> None:
    narrow, other = write_llava(tmp_path / "a", projector="linear"), write_llava(tmp_path / "b")
    with pytest.raises(UserError, match=r"llava: a linear projector from width 32 to 32 .* at least 64"):
        export_for_vllm(narrow, tmp_path / "out")
    with pytest.raises(UserError, match=r"llava: its projector is not linear; vLLM loads the folder as it is"):
        export_for_vllm(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()
