"""Base models that others have published: CLIP-L/14-336 and Vicuna v1.5 (paper section 4.1).

Each is brought from Hugging Face, or from a folder, and saved where the mini preset saves the ones it trains: an
ordinary transformers folder. A language model gets what a LLaVA needs of it beside: the token `<image>`, a padding
token and the chat template.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sharegpt4v.config.base_models import Published, Transformer, VisionTower
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.folders import new_folder
from sharegpt4v.models.decoding import greedy_settings
from sharegpt4v.models.downloads import folder_of
from sharegpt4v.models.llama_tokenizer import read_sentencepiece
from sharegpt4v.models.loading import load_model, load_part
from sharegpt4v.models.saving import SENTENCEPIECE, keep_sentencepiece
from sharegpt4v.models.templates import CHAT_TEMPLATE, IMAGE
from sharegpt4v.provenance import provenance

ROWS_PER_BLOCK = 64  # embeddings are padded to a multiple of this, which GPUs multiply faster


def import_llm(size: Transformer, out: Path) -> None:
    """Save the published language model of a size, with its tokenizer and greedy generation settings, as `out`.

    `UserError` when it cannot be had, or is of another size than the config says.
    """
    from transformers import AutoConfig, LlamaForCausalLM

    folder = folder_of(_published(size))
    _check_size(size, load_part(AutoConfig, folder), folder)
    tokenizer = _tokenizer(folder)
    model = load_model(LlamaForCausalLM, folder)
    if len(tokenizer) > model.config.vocab_size:
        _add_rows(model, len(tokenizer))
    model.generation_config = greedy_settings(tokenizer, model.config.vocab_size)
    _save(out, size, folder, model, tokenizer)


def _tokenizer(folder: Path) -> Any:
    """Vicuna's, converted from its sentencepiece model where the folder has that; padding is the unknown token."""
    from transformers import AutoTokenizer

    if (folder / SENTENCEPIECE).is_file():
        tokenizer = read_sentencepiece(folder / SENTENCEPIECE, IMAGE)
    else:
        tokenizer = load_part(AutoTokenizer, folder, extra_special_tokens={"image_token": IMAGE})
        tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
        tokenizer.pad_token, tokenizer.padding_side = tokenizer.unk_token, "left"
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _add_rows(model: Any, tokens: int) -> None:
    """Make both embeddings large enough for `tokens`; the new rows of each are the mean of its old ones."""
    before = model.config.vocab_size
    model.resize_token_embeddings(tokens, pad_to_multiple_of=ROWS_PER_BLOCK, mean_resizing=False)
    for embedding in (model.get_input_embeddings(), model.get_output_embeddings()):
        rows = embedding.weight.data
        rows[before:] = _mean(rows[:before])


def mean_of_rows(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """Return an embedding made longer: its new rows are the mean of the old ones."""
    return torch.cat([weight, _mean(weight).expand(rows - len(weight), -1)])


def _mean(rows: torch.Tensor) -> torch.Tensor:
    return rows.mean(0, dtype=torch.float32).to(rows.dtype)


def import_vision_tower(size: VisionTower, out: Path) -> None:
    """Save the published CLIP as `out`. `UserError` when it cannot be had, or is of another size than the config's."""
    from transformers import AutoConfig, CLIPModel

    folder = folder_of(_published(size))
    vision = load_part(AutoConfig, folder).vision_config
    _check_size(size, vision, folder)
    for key in ("image_size", "patch_size"):
        _expect_equal(folder, key, getattr(vision, key), getattr(size, key))
    _save(out, size, folder, load_model(CLIPModel, folder))


def _published(size: Transformer) -> Published:
    assert size.published is not None
    return size.published


def _check_size(size: Transformer, config: Any, folder: Path) -> None:
    _expect_equal(folder, "hidden_size", config.hidden_size, size.hidden_size)
    _expect_equal(folder, "layers", config.num_hidden_layers, size.layers)
    _expect_equal(folder, "heads", config.num_attention_heads, size.heads)
    _expect_equal(folder, "mlp_size", config.intermediate_size, size.mlp_size)


def _expect_equal(folder: Path, key: str, found: int, stated: int) -> None:
    if found != stated:
        raise UserError(f"{folder}: {key} is {found}, the config says {stated}; correct the config or the checkpoint")


def _save(out: Path, size: Transformer, origin: Path, *parts: Any) -> None:
    with new_folder(out) as folder:
        for part in parts:
            part.save_pretrained(folder)
        keep_sentencepiece(origin, folder)
        about = provenance("published", _published(size).model_dump(), None, [], __name__)
        write_json(folder / "provenance.json", about)
