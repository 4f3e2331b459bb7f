"""Section ``base_models``: the vision tower, the tokenizer and the language models that training starts from.

The paper starts from CLIP-ViT-L/14-336 and Vicuna-v1.5 (§4.1), which are taken as they were published. The mini preset
trains small ones of the same kinds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sharegpt4v.config.section import Count, Name, Positive, Section, Text

Projector = Literal["mlp2x_gelu", "linear"]
"""Kinds of projector, as LLaVA's code names them."""


class ShortTraining(Section):
    """A training run counted in steps, for models that are made here and not downloaded."""

    steps: Count = Field(default=500, description="Optimiser steps.")
    batch_size: Count = Field(default=64, description="Samples per step.")
    learning_rate: Positive = Field(default=2e-3, description="Peak learning rate.")


class TextTraining(Section):
    """A training run on text, counted in rows."""

    rows: Count = Field(default=16_000, description="Rows of text, each seen once.")
    batch_size: Count = Field(default=2, description="Packed rows of 256 tokens per step.")
    learning_rate: Positive = Field(default=7e-4, description="Peak learning rate.")


class Published(Section):
    """A checkpoint that is taken and not made."""

    id: Text = Field(description="Hugging Face id, or path of a folder.")
    revision: Text | None = Field(default=None, description="Commit on Hugging Face. null: a folder on this machine.")


class PublishedModel(Published):
    """A multi-modal model that is taken and not made, in its authors' layout or in transformers'."""

    family: Text = Field(
        default="llava", description="Its family, a file of `models/families` (LLaVA-1.5 and ShareGPT4V: `llava`)."
    )
    most_pixels: Count | None = Field(
        default=None,
        description="Most pixels of an image, for models of Qwen's that take any size. null: 576 tokens, as LLaVA-1.5 "
        "has, unless the checkpoint says fewer than 2,048.",
    )


class Transformer(Section):
    """The size of a transformer. The width has to be a multiple of the number of heads."""

    published: Published | None = Field(
        default=None,
        description="Checkpoint to take, whose size the keys beside it have to state. null: made here, by training.",
    )
    hidden_size: Count = Field(description="Width of the residual stream.")
    layers: Count = Field(description="Transformer blocks.")
    heads: Count = Field(description="Attention heads per block.")
    mlp_size: Count = Field(description="Width inside the feed-forward part.")


class LanguageModel(Transformer):
    """A Llama (paper §4.1: Vicuna-v1.5), and what exists of the multi-modal models that are made of it."""

    projector: Published | None = Field(
        default=None,
        description="Trained projector to take for the alignment (paper §4.1 takes LLaVA-1.5's), a folder or id with "
        "`mm_projector.bin`. null: the alignment is trained.",
    )
    pretrained: PublishedModel | None = Field(
        default=None, description="Pre-trained model to take (paper §4.2). null: the pre-training is done here."
    )


class VisionTower(Transformer):
    """A CLIP image encoder (paper §4.1: 24 layers, width 1024, 16 heads, patches of 14, images of 336 pixels)."""

    image_size: Count = Field(description="Width and height of the input, in pixels.")
    patch_size: Count = Field(description="Width and height of a patch, in pixels; each patch is one visual token.")
    training: ShortTraining = Field(
        default=ShortTraining(), description="Contrastive, on images and short alt-texts; unused when published."
    )


class Tokenizer(Section):
    """The tokenizer that all language models share (paper: Llama's, of 32,000 tokens)."""

    vocabulary: int = Field(
        default=32_000, ge=300, description="Tokens in the vocabulary; the first 256 are the bytes."
    )


CLIP = VisionTower(
    published=Published(id="openai/clip-vit-large-patch14-336", revision="ce19dc912ca5cd21c8a653c79e251e808ccabcd1"),
    hidden_size=1024,
    layers=24,
    heads=16,
    mlp_size=4096,
    image_size=336,
    patch_size=14,
)
VICUNA_7B = LanguageModel(
    published=Published(id="lmsys/vicuna-7b-v1.5", revision="3321f76e3f527bd14065daf69dad9344000a201d"),
    hidden_size=4096,
    layers=32,
    heads=32,
    mlp_size=11008,
    projector=Published(
        id="liuhaotian/llava-v1.5-mlp2x-336px-pretrain-vicuna-7b-v1.5",
        revision="9e63c146d2f4b2911541208fb124b6c91632e839",
    ),
)
VICUNA_13B = LanguageModel(
    published=Published(id="lmsys/vicuna-13b-v1.5", revision="c8327bf999adbd2efe2e75f6509fa01436100dc2"),
    hidden_size=5120,
    layers=40,
    heads=40,
    mlp_size=13824,
    projector=Published(id="liuhaotian/llava-v1.5-mlp2x-336px-pretrain-vicuna-13b-v1.5", revision="e362f04"),
)


class BaseModels(Section):
    """What exists before the first image meets the first caption."""

    vision_tower: VisionTower = Field(default=CLIP, description="The image encoder (paper §4.1: CLIP-ViT-L/14-336).")
    projector_type: Projector = Field(
        default="mlp2x_gelu",
        description="What joins tower and language model. `mlp2x_gelu`: two layers with GELU between them, as in "
        "LLaVA-1.5 and ShareGPT4V (paper §4.1). `linear`: one layer, as in LLaVA-7B (paper figure 2).",
    )
    tokenizer: Tokenizer = Field(
        default=Tokenizer(),
        description="The tokenizer, trained on the texts at hand; published language models bring their own.",
    )
    llm: dict[Name, LanguageModel] = Field(
        default={"7b": VICUNA_7B, "13b": VICUNA_13B},
        description="Language models by the size that `models` and `captioner` name (paper §4.1: Vicuna 7B, 13B).",
    )
    llm_training: TextTraining = Field(
        default=TextTraining(), description="Training of the language models on text alone; unused when published."
    )
