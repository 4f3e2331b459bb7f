"""A checkpoint of Qwen-VL on disk: weights and config of `modeling`, a processor and settings of transformers' own.

transformers has no class for the model, so only this project loads the weights. The processor and the tokenizer are
stock, and anyone's: `AutoProcessor.from_pretrained(folder)`.
"""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import Any

import torch

from sharegpt4v.models.loading import load_model, load_part, precision_on
from sharegpt4v.models.pixels import MEAN, STD
from sharegpt4v.models.qwen_vl.modeling import QwenVL, QwenVLConfig
from sharegpt4v.models.qwen_vl.tokenizer import END, SPECIAL, TURN, TURN_END, VISUAL

ENDS = (TURN_END, END, TURN)
"""Tokens that end an answer: that of the turn, and two at which Qwen's `chat` stops as well."""


def load(folder: Path, device: torch.device | None = None, dtype: torch.dtype | None = None) -> tuple[QwenVL, Any]:
    """Load a checkpoint folder as (model, processor) onto `device`; `dtype` None is that of `precision_on`."""
    from transformers import LlavaProcessor

    return load_model(QwenVL, folder, device, dtype or precision_on(device)), load_part(LlavaProcessor, folder)


def save(model: QwenVL, processor: Any, folder: Path) -> None:
    """Write the model and its processor to `folder` as safetensors, with greedy generation settings."""
    model.generation_config = greedy_settings(processor.tokenizer, model.config.text_config.vocab_size)
    model.save_pretrained(folder, max_shard_size="50GB")
    processor.save_pretrained(folder)


def processor_for(config: QwenVLConfig, tokenizer: Any) -> Any:
    """Return the processor: images squashed to a square, as many `<imgpad>` for each as it becomes visual tokens.

    LLaVA's processor counts one visual token for every square of `patch_size` pixels; here that is one of a query.
    """
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    size = config.vision_config.image_size
    square = {"height": size, "width": size}
    image_processor = CLIPImageProcessorPil(size=square, do_center_crop=False, image_mean=MEAN, image_std=STD)
    return LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=size // isqrt(config.vision_config.queries),
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        image_token=VISUAL,
        chat_template=tokenizer.chat_template,
    )


def greedy_settings(tokenizer: Any, embeddings: int) -> Any:
    """Return the GenerationConfig of a model with so many: greedy, ended by `ENDS`, without ids that are no text."""
    from transformers import GenerationConfig

    ends = tokenizer.convert_tokens_to_ids(list(ENDS))
    no_text = {*range(len(tokenizer), embeddings)}
    no_text |= {
        *tokenizer.convert_tokens_to_ids([token for token in SPECIAL if token.startswith(("<|extra", "<img", "</img"))])
    }
    return GenerationConfig(
        do_sample=False,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=sorted(no_text),
    )
