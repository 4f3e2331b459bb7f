"""A LLaVA as it is loaded, what is done to its images, and choosing what learns (paper sections 4.1 to 4.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sharegpt4v.models.linear_projector import is_linear
from sharegpt4v.models.loading import load_model, load_part, precision_on
from sharegpt4v.models.pixels import MEAN, STD


def processor_for(config: Any, tokenizer: Any, image_aspect_ratio: str) -> Any:
    """The LLaVA processor (image processor, tokenizer, chat template) of a model tuned on images made square so.

    It gives the pixel values of `sharegpt4v.models.pixels` bit by bit, for images without transparency: transformers
    and vLLM lay others on white, whereas LLaVA's code drops the alpha channel, so hand over RGB.
    """
    from transformers import LlavaProcessor
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    size = config.vision_config.image_size
    image_processor = LlavaImageProcessorPil(
        do_pad=image_aspect_ratio == "pad",
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=MEAN,
        image_std=STD,
    )
    return LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )


def load_llava(folder: Path, device: torch.device | None = None, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """Load a checkpoint folder as (model, processor) onto `device`; `dtype` None is that of `precision_on`."""
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    model = load_model(LlavaForConditionalGeneration, folder, device, dtype or precision_on(device))
    return model, load_part(AutoProcessor, folder)


def set_trainable(model: Any, llm: bool, projector: bool, vit_from_layer: int | None) -> None:
    """Freeze all parameters but the named parts; of the tower, train the encoder layers from `vit_from_layer` up.

    The features are the output of the last layer but one, so the last layer gets no gradient even when unlocked
    (paper section 4.2 trains the upper half; its last block does not learn either). Of a linear projector the identity
    stays one.
    """
    model.requires_grad_(False)
    model.model.language_model.requires_grad_(llm)
    model.lm_head.requires_grad_(llm)
    model.model.multi_modal_projector.requires_grad_(projector)
    if is_linear(model.config):
        model.model.multi_modal_projector.linear_2.requires_grad_(False)
    if vit_from_layer is not None:
        for layer in model.model.vision_tower.encoder.layers[vit_from_layer:-1]:
            layer.requires_grad_(True)


def image_token_count(config: Any) -> int:
    """How many visual tokens one image becomes."""
    return int((config.vision_config.image_size // config.vision_config.patch_size) ** 2)
