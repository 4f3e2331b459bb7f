"""A tower and a language model joined on disk: the weights are theirs, and LLaVA's code draws the projector so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, CLIPModel, LlamaForCausalLM

from sharegpt4v.errors import UserError
from sharegpt4v.models.building import load_llava
from sharegpt4v.models.joining import draw_projector, join_llava
from tiny_llava import write_tower_and_llm


@pytest.mark.parametrize("tied", [False, True])
def test_every_weight_is_that_of_its_part(tied: bool, tmp_path: Path) -> None:
    tower, llm = write_tower_and_llm(tmp_path, tied)
    drawn = draw_projector(tower, llm, "mlp2x_gelu", 1)
    (tmp_path / "out").mkdir()
    join_llava(tower, llm, drawn, tmp_path / "out")
    loaded: Any = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", output_loading_info=True)
    model, report = loaded
    assert not any(report.values()), report
    clip, llama = CLIPModel.from_pretrained(tower), LlamaForCausalLM.from_pretrained(llm)
    for found, expected in (
        (model.model.vision_tower, clip.vision_model),
        (model.model.language_model, llama.model),
        (model.lm_head, llama.lm_head),
    ):
        for (name, weight), other in zip(found.named_parameters(), expected.parameters(), strict=True):
            assert torch.equal(weight, other), name
    for name, weight in model.model.multi_modal_projector.named_parameters():
        assert torch.equal(weight, drawn[name]), name


def test_a_projector_is_drawn_as_torch_draws_a_layer(tmp_path: Path) -> None:
    parts = write_tower_and_llm(tmp_path, width=96)
    before = torch.random.get_rng_state()
    drawn = draw_projector(*parts, "mlp2x_gelu", 5)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(5)  # as build_vision_projector of LLaVA makes the layers one after another
    layers = torch.nn.Sequential(torch.nn.Linear(32, 96), torch.nn.GELU(), torch.nn.Linear(96, 96))
    for weight, expected in zip(drawn.values(), layers.parameters(), strict=True):
        assert torch.equal(weight, expected)


def test_parts_keep_their_precision_unless_one_is_asked_for(tmp_path: Path) -> None:
    tower, llm = write_tower_and_llm(tmp_path)
    LlamaForCausalLM.from_pretrained(llm).half().save_pretrained(llm)
    drawn = draw_projector(tower, llm, "mlp2x_gelu", 1)
    for precision, expected in ((None, torch.float16), (torch.bfloat16, torch.bfloat16)):
        out = tmp_path / str(precision)
        out.mkdir()
        join_llava(tower, llm, drawn, out, precision)
        assert AutoModelForImageTextToText.from_pretrained(out).dtype == expected
    # In a precision of its own choice a training reads the tower's weights as they were, not rounded to the other's.
    model, _ = load_llava(tmp_path / "None", dtype=torch.float32)
    clip = CLIPModel.from_pretrained(tower).vision_model
    assert all(map(torch.equal, model.model.vision_tower.parameters(), clip.parameters()))
    model, _ = load_llava(tmp_path / "None", dtype=torch.bfloat16)
    assert model.model.language_model.rotary_emb.inv_freq.dtype == torch.float32


def test_parts_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    tower, llm = write_tower_and_llm(tmp_path)
    LlamaForCausalLM.from_pretrained(llm).model.save_pretrained(tmp_path / "headless")
    drawn = draw_projector(tower, llm, "mlp2x_gelu", 1)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / "headless" / name).write_bytes((llm / name).read_bytes())
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"headless: .*expected those of its config\.json"):
        join_llava(tower, tmp_path / "headless", drawn, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
