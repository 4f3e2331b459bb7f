"""Every kind of attention gives sdpa's loss and gradients, packed and not, for every family that is trained."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from transformers import modeling_flash_attention_utils, modeling_utils

from sharegpt4v.errors import UserError
from sharegpt4v.models.auto_model import PACKED
from sharegpt4v.models.family import family_named, name_in
from sharegpt4v.models.templates import IGNORED, Sample
from sharegpt4v.training.attention import Kind, set_attention
from sharegpt4v.training.loss import loss_of
from sharegpt4v.training.packing import collate
from tiny_auto import write_auto
from tiny_llava import write_llava
from tiny_qwen import write_original

CPU = torch.device("cpu")
GPU = torch.cuda.is_available()
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # of the loss, and of gradients relative to their largest


class Trained(NamedTuple):
    """A tiny model of a family, and samples for it: texts, one of them a single token, and one with an image."""

    model: Any
    samples: list[Sample]
    pixels: Mapping[str, torch.Tensor]

    def loss_and_gradients(self, rows: list[list[int]], length: int) -> tuple[float, dict[str, torch.Tensor]]:
        device = next(self.model.parameters()).device
        with device:
            batch = collate(self.samples, rows, length, 0, dict.fromkeys(range(5), 1 / 32))
        pixels = {name: one.to(device) for name, one in self.pixels.items()} if batch.images else None
        self.model.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=GPU):
            loss = loss_of(self.model, batch, pixels)
        loss.backward()
        named = self.model.named_parameters()
        return loss.item(), {name: one.grad.clone() for name, one in named if one.grad is not None}


@pytest.fixture(scope="module", params=["llava", "qwen_vl", *PACKED])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "llava":
        folder = write_llava(folder)
    elif request.param == "qwen_vl":
        (folder / "model").mkdir()
        family_named("qwen_vl").import_original(write_original(folder / "original"), folder / "model", Path)
        folder = folder / "model"
    else:
        folder = write_auto(request.param, folder / "model")
    family = family_named(name_in(folder))
    model, processor = family.load(folder)
    family.set_trainable(model, llm=True, projector=True, vit_from_layer=None)
    image = Image.effect_noise((40, 30), 90).convert("RGB")
    images = family.images_by(processor, model.config, "square")
    if family.by_size:
        visual = list(family.visual_ids(processor, image.size))
    else:
        visual = [family.image_id(processor.tokenizer)] * family.image_tokens(model.config)
    words = processor.tokenizer("Is it a red circle or a blue square?", add_special_tokens=False)["input_ids"]
    texts = [words[:9], words[:1], [words[0], *visual, *words], words[3:8], words[:7]]
    samples = [Sample(ids, [IGNORED, *ids[1:]], None) for ids in texts]
    learned = [IGNORED] * (1 + len(visual)) + words
    samples[2] = Sample(texts[2], learned, Path("image"))
    return Trained(model.train(), samples, images.tensors([images.prepare(image)]))


def kinds_here(monkeypatch: pytest.MonkeyPatch) -> list[Kind]:
    """The kinds to compare; on a CPU flash attention's kernel is stood in for, and all that leads to it is real."""
    if GPU:
        return ["flash", "flex"] if importlib.util.find_spec("flash_attn") else ["flex"]
    flash_attention_by_sdpa(monkeypatch)
    return ["flash", "flex"]


def flash_attention_by_sdpa(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let transformers' flash attention call a kernel of the same meaning, and flex run without a compiler.

    PyTorch refuses the backward pass of flex on a CPU, for which it has no compiled kernel; uncompiled it has one.
    """
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def func(q: Any, k: Any, v: Any, softmax_scale: float | None = None, causal: bool = False) -> Any:
        q, k, v = (one.transpose(1, 2) for one in (q, k, v))
        return sdpa(q, k, v, is_causal=causal, scale=softmax_scale, enable_gqa=True).transpose(1, 2)

    def varlen(
        q: Any, k: Any, v: Any, cu_seqlens_q: Any, cu_seqlens_k: Any, max_seqlen_q: int, max_seqlen_k: int,
        softmax_scale: float | None = None, causal: bool = False,
    ) -> Any:  # fmt: skip
        assert isinstance(max_seqlen_q, int) and cu_seqlens_q.dtype == torch.int32  # as the kernel wants them
        borders = cu_seqlens_q.tolist()
        parts = [slice(start, end) for start, end in pairwise(borders)]
        assert max(part.stop - part.start for part in parts) == max_seqlen_q
        return torch.cat([func(q[None, p], k[None, p], v[None, p], softmax_scale, causal)[0] for p in parts])

    utils, models = modeling_flash_attention_utils, modeling_utils.PreTrainedModel
    monkeypatch.setattr(utils, "_lazy_imports", lambda *_, **__: (func, varlen, None, None, None))
    monkeypatch.setattr(utils, "_loaded_implementation", None)
    monkeypatch.setattr(models, "_check_and_adjust_attn_implementation", lambda self, name, **_: name)
    monkeypatch.setattr("sharegpt4v.training.attention._missing", lambda *_: None)
    monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *_: None)


def test_all_kinds_give_the_loss_and_gradients_of_sdpa(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda") if GPU else CPU
    model = trained.model.to(device)
    longest = len(trained.samples[2].ids)
    packings = {
        "packed": ([[0, 1, 2], [3, 4], []], longest + 13),
        "unpacked": ([[2], [4]], longest),
    }
    within = TOLERANCE[torch.bfloat16 if GPU else torch.float32]
    assert set_attention(model, "sdpa", device, "bfloat16") == "sdpa"
    expected = {name: trained.loss_and_gradients(*packing) for name, packing in packings.items()}
    assert expected["packed"][0] != expected["unpacked"][0]
    with torch.compiler.set_stance("default" if GPU else "force_eager"):
        for kind in kinds_here(monkeypatch):
            assert set_attention(model, kind, device, "bfloat16") == kind
            for name, packing in packings.items():
                loss, gradients = trained.loss_and_gradients(*packing)
                assert loss == pytest.approx(expected[name][0], rel=within), (kind, name)
                assert gradients.keys() == expected[name][1].keys() and gradients
                largest = max(one.abs().max() for one in expected[name][1].values())
                for weight, found in gradients.items():
                    assert (found - expected[name][1][weight]).abs().max() <= within * largest, (kind, name, weight)


def test_a_kind_that_cannot_run_says_what_is_missing(tmp_path: Path) -> None:
    model, _ = family_named("llava").load(write_llava(tmp_path))
    before = model.config.to_dict()
    with pytest.raises(
        UserError, match=r"attention is flex, and flex .* has no backward pass on a cpu; set it to auto"
    ):
        set_attention(model, "flex", CPU, "bfloat16")
    with pytest.raises(UserError, match=r"attention is flash, and .* has no backward pass on a cpu; set it"):
        set_attention(model, "flash", CPU, "bfloat16")
    with pytest.raises(UserError, match="half precision only"):
        set_attention(model, "flash", torch.device("cuda"), "float32")
    assert set_attention(model, "auto", CPU, "float32") == "sdpa"
    assert model.config.to_dict() == before and model.get_decoder().config._attn_implementation == "sdpa"
