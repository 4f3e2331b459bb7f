"""Share-Captioner, the captioner that the authors published (paper section 3.3), by transformers' own classes.

An EVA ViT-g (`Blip2VisionModel`, 448 pixels a side) sees the image; a resampler asks it with 256 learned queries; a
Linear brings these to the width of the language model, InternLM-7B, which is a Llama with biases in its attention. Two
learned vectors mark the begin and the end of an image, so that it takes 258 positions.

Source: the code published beside Lin-Chen/ShareCaptioner (a copy of InternLM-XComposer's), and Qwen-VL's resampler. Of
the published resampler, only the helper functions were at hand. The rest is read from its relatives, from the sizes of
the published index of weights (which fit the names in `share_captioner_import` and no others that were tried), and two
things cannot be read from weights: `resampler_heads`, and that the class token is seen, without a position. Compare
captions with published ones before you rely on them; both are keys of config.json.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    Blip2VisionConfig,
    Blip2VisionModel,
    GenerationMixin,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from sharegpt4v.models.qwen_vl.vision import positions_for

NORM_EPS = 1e-6  # of the resampler's norms


class ShareCaptionerConfig(PreTrainedConfig):
    """Sizes of the three parts; the defaults are those of the published checkpoint."""

    model_type = "share_captioner"
    sub_configs = {"text_config": LlamaConfig, "vision_config": Blip2VisionConfig}  # noqa: RUF012 (as transformers has it)

    text_config: Any = None
    vision_config: Any = None
    resampler_queries: int = 256
    resampler_width: int = 4096
    resampler_heads: int = 16
    resampler_sees_class_token: bool = True
    image_token_id: int = 103172

    def __post_init__(self, **kwargs: Any) -> None:
        """Turn the dictionaries of config.json into the configurations of the parts."""
        for name, kind in self.sub_configs.items():
            value = getattr(self, name)
            if not isinstance(value, PreTrainedConfig):
                setattr(self, name, kind(**(value or {})))
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]


class Resampler(nn.Module):
    """One cross-attention: learned queries on a grid, keys and values from the patches of an image."""

    def __init__(self, config: ShareCaptionerConfig) -> None:
        """`pos_embed` are positions of the queries' grid, which come with the weights (sines and cosines in 2-D)."""
        super().__init__()
        width, queries = config.resampler_width, config.resampler_queries
        self.sees_class_token = config.resampler_sees_class_token
        self.query = nn.Parameter(torch.zeros(queries, width))
        self.pos_embed = nn.Parameter(torch.zeros(queries, width), requires_grad=False)
        self.kv_proj = nn.Linear(config.vision_config.hidden_size, width, bias=False)
        self.attn = nn.MultiheadAttention(width, config.resampler_heads, batch_first=True)
        self.ln_q = nn.LayerNorm(width, NORM_EPS)
        self.ln_kv = nn.LayerNorm(width, NORM_EPS)
        self.ln_post = nn.LayerNorm(width, NORM_EPS)

    def forward(self, hidden: Tensor) -> Tensor:
        """From (images, 1 + patches, vision width), class token first, to (images, queries, width)."""
        values = self.ln_kv(self.kv_proj(hidden if self.sees_class_token else hidden[:, 1:]))
        patches = positions_for(self.pos_embed, hidden.shape[1] - 1)
        nowhere = patches.new_zeros(values.shape[1] - len(patches), patches.shape[1])
        queries = (self.ln_q(self.query) + self.pos_embed).expand(len(hidden), -1, -1)
        keys = values + torch.cat([nowhere, patches])
        seen: Tensor = self.attn(queries, keys, values, need_weights=False)[0]
        return self.ln_post(seen)  # type: ignore[no-any-return]


class ShareCaptioner(PreTrainedModel, GenerationMixin):
    """The whole model; ids of `image_token_id` stand for the vectors of an image, `image_positions` for each."""

    config_class = ShareCaptionerConfig
    base_model_prefix = "model"
    _supports_sdpa = True
    _no_split_modules = ["LlamaDecoderLayer", "Blip2EncoderLayer"]  # noqa: RUF012

    def __init__(self, config: ShareCaptionerConfig) -> None:
        super().__init__(config)
        width = config.text_config.hidden_size
        self.vision_tower = Blip2VisionModel(config.vision_config)
        # Features are taken before the last norm, and the checkpoint has none.
        self.vision_tower.post_layernorm = nn.Identity()  # type: ignore[assignment]
        self.resampler = Resampler(config)
        self.projection = nn.Linear(config.resampler_width, width)
        self.image_start = nn.Parameter(torch.zeros(1, 1, width))
        self.image_end = nn.Parameter(torch.zeros(1, 1, width))
        self.language_model = LlamaForCausalLM(config.text_config)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of the texts."""
        return self.language_model.get_input_embeddings()

    def image_features(self, pixel_values: Tensor) -> Tensor:
        """From (images, 3, size, size) to the vectors that stand in a prompt, (images, queries + 2, hidden)."""
        hidden = self.vision_tower(pixel_values=pixel_values).last_hidden_state
        features = self.projection(self.resampler(hidden))
        start, end = (mark.expand(len(features), -1, -1) for mark in (self.image_start, self.image_end))
        return torch.cat([start, features, end], dim=1)

    def embed(self, input_ids: Tensor, pixel_values: Tensor | None = None) -> Tensor:
        """Return the embeddings of prompts, (rows, length, hidden); the images are in the order of their ids."""
        is_image = input_ids == self.config.image_token_id
        embedded: Tensor = self.get_input_embeddings()(input_ids.masked_fill(is_image, 0))
        if pixel_values is not None:
            features = self.image_features(pixel_values).to(embedded.dtype)
            embedded = embedded.masked_scatter(is_image[..., None], features)
        return embedded

    def forward(self, input_ids: Tensor, pixel_values: Tensor | None = None, **settings: Any) -> CausalLMOutputWithPast:
        """Return the logits of the language model; `settings` are those of its forward."""
        found: CausalLMOutputWithPast = self.language_model(
            inputs_embeds=self.embed(input_ids, pixel_values), **settings
        )
        return found


def image_positions(config: ShareCaptionerConfig) -> int:
    """How many positions an image takes: its queries, between a begin and an end."""
    return config.resampler_queries + 2
