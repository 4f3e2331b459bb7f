"""A checkpoint of Share-Captioner: the whole model, or its language model alone for vLLM (paper section 3.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from sharegpt4v.models.decoding import greedy_settings
from sharegpt4v.models.loading import load_model, load_part, precision_on
from sharegpt4v.models.share_captioner import ShareCaptioner, image_positions
from sharegpt4v.models.share_captioner_import import REPETITION_PENALTY
from sharegpt4v.models.share_captioner_text import prompt_ids
from sharegpt4v.models.squashed import Squashed


class Processor(NamedTuple):
    """The tokenizer and what is done to images, as transformers' processors hold them."""

    tokenizer: Any
    image_processor: Squashed


def load(
    folder: Path, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> tuple[ShareCaptioner, Processor]:
    """Load a checkpoint folder onto `device`; `dtype` None is that of `precision_on`."""
    from transformers import PreTrainedTokenizerFast

    model: ShareCaptioner = load_model(ShareCaptioner, folder, device, dtype or precision_on(device))
    tokenizer = load_part(PreTrainedTokenizerFast, folder)
    return model, Processor(tokenizer, Squashed(model.config.vision_config.image_size))


def save(model: ShareCaptioner, tokenizer: Any, folder: Path) -> None:
    """Write a checkpoint: weights, tokenizer, and settings for greedy captions."""
    model.generation_config = _generation_settings(tokenizer, model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def export_llm(folder: Path, out: Path) -> None:
    """Write the language model of the checkpoint `folder` to `out` as a Llama, for vLLM with `enable_prompt_embeds`.

    Its prompts are those of `prompt_embeddings`.
    """
    from transformers import PreTrainedTokenizerFast

    model: ShareCaptioner = load_model(ShareCaptioner, folder)
    tokenizer = load_part(PreTrainedTokenizerFast, folder)
    llm = model.language_model
    llm.generation_config = _generation_settings(tokenizer, model)
    llm.config.bos_token_id, llm.config.pad_token_id = tokenizer.bos_token_id, tokenizer.pad_token_id
    llm.config.eos_token_id = llm.generation_config.eos_token_id
    llm.save_pretrained(out)
    tokenizer.save_pretrained(out)


@torch.inference_mode()
def prompt_embeddings(model: ShareCaptioner, tokenizer: Any, image: Image.Image, question: str) -> Tensor:
    """Return what the language model reads of an RGB image and a question, of shape (positions, hidden)."""
    config: Any = model.config
    ids = torch.tensor([prompt_ids(tokenizer, question, image_positions(config))], device=model.device)
    images = Squashed(config.vision_config.image_size)
    pixels = images.tensors([images.prepare(image)])["pixel_values"].to(model.device, model.dtype)
    return model.embed(ids, pixels)[0]


def _generation_settings(tokenizer: Any, model: ShareCaptioner) -> Any:
    settings = greedy_settings(tokenizer, model.config.text_config.vocab_size)
    settings.eos_token_id = [
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
    ]  # `</s>`, where the authors' script ends too
    settings.repetition_penalty = REPETITION_PENALTY
    return settings
