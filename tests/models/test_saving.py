"""Checkpoints that others load: the names on disk, the pixels and the settings that a folder brings along."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor

from sharegpt4v.images.loading import to_rgb
from sharegpt4v.models.building import load_llava, processor_for
from sharegpt4v.models.pixels import to_pixels
from sharegpt4v.models.saving import save_llava
from tiny_llava import build_llava, write_tower_and_llm

LLAVA_HF = re.compile(
    r"vision_tower\.vision_model\.(embeddings|pre_layrnorm|encoder\.layers\.\d+|post_layernorm)\."
    r"|language_model\.model\.(embed_tokens|layers\.\d+|norm)\."
    r"|language_model\.lm_head\.weight$"
    r"|multi_modal_projector\.linear_[12]\.(weight|bias)$"
)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of all files of a checkpoint, by the names they have on disk."""
    found: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shard", ["50GB", "40KB"])
def test_names_on_disk_are_those_of_llava_hf(tied: bool, shard: str, tmp_path: Path) -> None:
    model, processor = build_llava(*write_tower_and_llm(tmp_path, tied), seed=1)
    save_llava(model, processor, tmp_path / "out", shard)
    written = weights_of(tmp_path / "out")
    assert [name for name in written if not LLAVA_HF.match(name)] == []
    assert ("language_model.lm_head.weight" in written) != tied
    assert sum(map(torch.numel, written.values())) == sum(map(torch.numel, model.parameters()))
    index = tmp_path / "out/model.safetensors.index.json"
    assert index.exists() == (shard == "40KB")
    if index.exists():
        assert json.loads(index.read_text())["weight_map"].keys() == written.keys()
    for again in (load_llava(tmp_path / "out")[0], loaded_whole(tmp_path / "out")):
        for (name, before), (_, after) in zip(model.named_parameters(), again.named_parameters(), strict=True):
            assert torch.equal(before, after), name
    save_llava(again, processor, tmp_path / "again", shard)
    assert weights_of(tmp_path / "again").keys() == written.keys()


def loaded_whole(folder: Path) -> Any:
    """The model as transformers by itself loads it, with nothing missing and nothing over."""
    loaded: Any = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    model, report = loaded
    assert not any(report.values()), report
    return model


def test_every_checkpoint_of_a_run_can_be_loaded_by_others(smoke: Path) -> None:
    kinds = {}
    for config in smoke.glob("checkpoints/**/config.json"):
        folder = config.parent
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in folder.iterdir()), folder
        if json.loads(config.read_text())["model_type"] != "llava":
            continue
        assert [name for name in weights_of(folder) if not LLAVA_HF.match(name)] == []
        loaded_whole(folder)
        settings = json.loads((folder / "generation_config.json").read_text())
        assert not settings["do_sample"] and not settings.keys() & {"temperature", "top_p"}
        assert (settings["bos_token_id"], settings["eos_token_id"], settings["pad_token_id"]) == (1, 3, 0)
        kinds[folder.relative_to(smoke / "checkpoints").as_posix()] = AutoProcessor.from_pretrained(
            folder
        ).image_processor.do_pad
    assert kinds == {
        "aligned/7b": False, "captioner": False, "pretrained/7b": False,
        "llava-7b/finetuned": True, "llava-7b+sharegpt4v/finetuned": True, "sharegpt4v-7b/finetuned": True,
    }  # fmt: skip


@pytest.mark.parametrize("image_size", [48, 336])
@pytest.mark.parametrize("image_aspect_ratio", ["square", "pad"])
def test_saved_processor_gives_the_pixels_of_training(image_aspect_ratio: str, image_size: int, tmp_path: Path) -> None:
    model, processor = build_llava(*write_tower_and_llm(tmp_path), seed=1)
    model.config.vision_config.image_size = image_size
    processor_for(model.config, processor.tokenizer, image_aspect_ratio).save_pretrained(tmp_path / "processor")
    alone = AutoProcessor.from_pretrained(tmp_path / "processor", backend="pil").image_processor
    dice = np.random.default_rng(0)
    for width, height in ((640, 200), (200, 640), (1, 1), (1, 9), (3, 2), (335, 333), (337, 341), (48, 48), (1000, 7)):
        noise = Image.fromarray(dice.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for mode in ("RGB", "L", "P", "1", "CMYK", "RGBA", "LA"):
            image = noise.convert(mode)
            if mode in ("RGBA", "LA"):  # transformers would lay it on white, LLaVA's code drops the transparency
                image.putalpha(noise.convert("L"))
                image = image.convert("RGB")
            found = alone(image, return_tensors="pt")["pixel_values"]
            wanted = to_pixels([to_rgb(image)], image_size, image_aspect_ratio)
            assert torch.equal(found, wanted), (width, height, mode)
