"""A folder like Vicuna's, and sections of a config that name published models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from sharegpt4v.config.base_models import Published, Transformer, VisionTower
from sharegpt4v.models.templates import prompt_text
from tiny_llava import PATCH, SIZE


@pytest.fixture
def vicuna(tmp_path: Path) -> Path:
    """A folder like Vicuna's: half precision, a tokenizer without `<image>`, padding and chat template."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(replacement="▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([prompt_text("What is it?", False), "A red circle."], trainer)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).half().save_pretrained(tmp_path / "vicuna")
    # As Vicuna has it: sampling is off, and its settings are left.
    settings = {"bos_token_id": 1, "eos_token_id": 2, "max_length": 4096, "pad_token_id": 0}
    (tmp_path / "vicuna/generation_config.json").write_text(json.dumps(settings | {"temperature": 0.9, "top_p": 0.6}))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(tmp_path / "vicuna")
    return tmp_path / "vicuna"


def llm_of(folder: Path | str, layers: int = 2, revision: str | None = None) -> Transformer:
    return Transformer(
        published=Published(id=str(folder), revision=revision), hidden_size=32, layers=layers, heads=2, mlp_size=64
    )


def tower_of(folder: Path, image_size: int = SIZE) -> VisionTower:
    return VisionTower.model_validate(
        {
            "published": {"id": str(folder)}, "hidden_size": 32, "layers": 3, "heads": 2, "mlp_size": 64,
            "image_size": image_size, "patch_size": PATCH,
            "training": {"steps": 1, "batch_size": 1, "learning_rate": 1e-3},
        }
    )  # fmt: skip
