"""Qwen-VL as a model of transformers: the language half is its Qwen2, the vision half is `vision`.

Qwen's own attention has a bias on query, key and value and rotary positions, as Qwen2's. Beyond the 2,048 tokens that
it was trained with, Qwen's code scales queries and positions when it generates, and Qwen2 does not: up to there the
logits are equal, and no sample or prompt should be longer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, GenerationMixin, PreTrainedConfig, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from sharegpt4v.models.qwen_vl.vision import VisionTower


class QwenVLVisionConfig(PreTrainedConfig):
    """The sizes of the vision part; the defaults are those of Qwen-VL-Chat."""

    model_type = "qwen_vl_vision"

    image_size: int = 448
    patch_size: int = 14
    hidden_size: int = 1664
    num_hidden_layers: int = 48
    num_attention_heads: int = 16
    intermediate_size: int = 8192
    output_size: int = 4096
    queries: int = 256
    positions: int = 256


class QwenVLConfig(PreTrainedConfig):
    """The two halves, and the id that stands for a visual token."""

    model_type = "qwen_vl"
    sub_configs = {"text_config": Qwen2Config, "vision_config": QwenVLVisionConfig}  # noqa: RUF012

    text_config: Any = None
    vision_config: Any = None
    image_token_id: int = 151859
    tie_word_embeddings: bool = False

    def __post_init__(self, **settings: Any) -> None:
        """Make sections that were read from JSON into configs of their own."""
        for name, kind in self.sub_configs.items():
            section = getattr(self, name)
            if not isinstance(section, PreTrainedConfig):
                setattr(self, name, kind(**(section or {})))
        super().__post_init__(**settings)  # type: ignore[no-untyped-call]


class QwenVL(PreTrainedModel, GenerationMixin):
    """Qwen-VL, for images that become visual tokens in the places of `<imgpad>`."""

    config_class = QwenVLConfig
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Qwen2DecoderLayer", "Block"]  # noqa: RUF012

    def __init__(self, config: QwenVLConfig) -> None:
        super().__init__(config)
        self.visual = VisionTower(config.vision_config)
        self.language_model = Qwen2ForCausalLM._from_config(config.text_config)
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def lm_head(self) -> Any:
        """What makes logits of the last hidden states."""
        return self.language_model.lm_head

    def get_input_embeddings(self) -> Any:
        """Return the embedding of the language model."""
        return self.language_model.get_input_embeddings()

    def embed(self, ids: Tensor, pixel_values: Tensor | None) -> Tensor:
        """Embed ids (rows, length), those of visual tokens by `pixel_values` (images, 3, size, size) in their order."""
        embedded: Tensor = self.get_input_embeddings()(ids)
        if pixel_values is None:
            return embedded
        visual = (ids == self.config.image_token_id).unsqueeze(-1).expand_as(embedded)
        return embedded.masked_scatter(visual, self.visual(pixel_values).to(embedded.dtype))

    def hidden(self, ids: Tensor, positions: Tensor, pixel_values: Tensor | None) -> Tensor:
        """Return the last hidden states of packed rows, (rows, length, width); without an image, beside a blank one.

        So every batch uses every parameter: processes that add their gradients up have to agree on them.
        """
        embedded = self.embed(ids, pixel_values)
        if pixel_values is None:
            size = self.config.vision_config.image_size
            blank = torch.zeros((1, 3, size, size), dtype=self.dtype, device=ids.device)
            embedded = embedded + 0 * self.visual(blank).sum().to(embedded.dtype)
        inputs = {"inputs_embeds": embedded, "position_ids": positions, "use_cache": False}
        hidden: Tensor = self.language_model.model(**inputs).last_hidden_state
        return hidden

    def forward(self, input_ids: Tensor, pixel_values: Tensor | None = None, **inputs: Any) -> Any:
        """Return what `Qwen2ForCausalLM` returns, with logits, for ids (rows, length) and the images of all rows."""
        return self.language_model(inputs_embeds=self.embed(input_ids, pixel_values), **inputs)


AutoConfig.register(QwenVLConfig.model_type, QwenVLConfig, exist_ok=True)  # what loads a tokenizer looks for it
