"""A projector that was published by itself, as LLaVA's training saves it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sharegpt4v.config.base_models import Published
from sharegpt4v.errors import UserError
from sharegpt4v.models.building import load_llava
from sharegpt4v.models.projector_file import join, read_projector
from tiny_llava import write_tower_and_llm

WIDTH = 32  # of the tiny tower and language model


def write_projector(file: Path, *names: str) -> dict[str, torch.Tensor]:
    """Write weights by these names inside the projector: matrices for weights, vectors for biases."""
    weights = {f"model.mm_projector.{name}": torch.randn(*[WIDTH] * (2 if "weight" in name else 1)) for name in names}
    torch.save({name: weight.bfloat16() for name, weight in weights.items()}, file)
    return {name: weight.bfloat16() for name, weight in weights.items()}


def test_a_projector_of_two_layers_takes_the_place_of_the_drawn_one(tmp_path: Path) -> None:
    saved = write_projector(tmp_path / "mm_projector.bin", "0.weight", "0.bias", "2.weight", "2.bias")
    join(*write_tower_and_llm(tmp_path), Published(id=str(tmp_path)), tmp_path / "out", "mlp2x_gelu")
    model, _ = load_llava(tmp_path / "out")
    for name, parameter in model.model.multi_modal_projector.named_parameters():
        original = name.replace("linear_1", "0").replace("linear_2", "2")
        assert torch.equal(parameter, saved[f"model.mm_projector.{original}"].float()), name


def test_a_linear_projector_is_read_but_is_not_that_of_llava_1_5(tmp_path: Path) -> None:
    file = tmp_path / "linear.bin"
    saved = write_projector(file, "weight", "bias")
    found = read_projector(file)
    assert found.keys() == {"linear.weight", "linear.bias"}
    assert torch.equal(found["linear.weight"], saved["model.mm_projector.weight"])
    (tmp_path / "mm_projector.bin").symlink_to(file)
    with pytest.raises(UserError, match=r"a projector of linear\.weight, linear\.bias; expected linear_1\.weight"):
        join(*write_tower_and_llm(tmp_path), Published(id=str(tmp_path)), tmp_path / "out", "mlp2x_gelu")


def test_what_is_no_projector_of_the_model_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mm_projector.bin"
    with pytest.raises(UserError, match=r"mm_projector\.bin: no such file; expected a projector"):
        read_projector(tmp_path)
    write_projector(file, "0.weight", "0.bias", "2.weight")
    with pytest.raises(UserError, match=r"lacks weights: 2\.bias; expected 0\.weight, .* of a mlp2x_gelu"):
        read_projector(file)
    torch.save({"model.mm_projector.weight": torch.ones(2, 2), "model.embed_tokens.weight": torch.ones(2, 2)}, file)
    with pytest.raises(UserError, match=r"has unknown weights: model\.embed_tokens\.weight"):
        read_projector(file)
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be used as a checkpoint"):
        read_projector(file)
    names = {"0.weight": (32, 1024), "0.bias": (32,), "2.weight": (32, 32), "2.bias": (32,)}
    torch.save({f"model.mm_projector.{name}": torch.ones(shape) for name, shape in names.items()}, file)
    with pytest.raises(UserError, match=r"linear_1\.weight is \(32, 1024\), the model's \(32, 32\)") as error:
        join(*write_tower_and_llm(tmp_path), Published(id=str(tmp_path)), tmp_path / "out", "mlp2x_gelu")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
