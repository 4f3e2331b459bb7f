"""The recipe of a training stage. ``alignment``, ``captioner``, ``pretraining`` and ``finetuning`` each hold one.

The paper's own recipes (§4.2 pre-training, §4.3 fine-tuning): learning rate 2e-5, one epoch, batches of 256 and 128,
warm-up 0.03, cosine schedule, no weight decay, the tower trained from block 12 of 24 in pre-training and frozen after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sharegpt4v.config.base_models import PublishedModel
from sharegpt4v.config.section import Count, CountOrNone, Fraction, Name, Positive, Section

Precision = Literal["float32", "bfloat16"]


class Adapters(Section):
    """LoRA: thin matrices that are trained beside each linear layer of the LLM. Defaults: LLaVA's finetune_lora.sh."""

    rank: Count = Field(default=128, description="Width of the adapters (LLaVA's script: 128).")
    alpha: Positive = Field(default=256, description="Adapters count alpha / rank (LLaVA's script: 256).")
    dropout: float = Field(
        default=0.05, ge=0, lt=1, description="Share of an adapter's input that is dropped (LLaVA's script: 0.05)."
    )
    quantised: bool = Field(
        default=False,
        description="Whether the LLM's layers are kept in 4 bits (QLoRA, by bitsandbytes). The checkpoint has the "
        "weights that these stand for, plus the adapters.",
    )


class Recipe(Section):
    """How one stage trains: what is trained, on rows of which form, how fast and how long."""

    learning_rate: Positive = Field(
        default=2e-5, description="Peak learning rate, then as `schedule` says (paper §4.2, §4.3: 2e-5)."
    )
    vision_learning_rate: Positive | None = Field(
        default=None,
        description="Peak learning rate of the vision tower where it is trained. null: as `learning_rate` (paper).",
    )
    projector_learning_rate: Positive | None = Field(
        default=None, description="Peak learning rate of the projector. null: as `learning_rate` (paper)."
    )
    epochs: Positive = Field(
        default=1.0, description="Passes over the data; parts of one are allowed (paper §4.2, §4.3: 1)."
    )
    batch_size: Count = Field(
        default=256,
        description="Samples (or rows, see `batch_of`) per step over all devices (paper: 256, fine-tuning 128).",
    )
    batch_of: Literal["samples", "rows"] = Field(
        default="samples",
        description="What `batch_size` counts: samples, as the paper does, or the packed rows that they fill, which "
        "makes all steps equally long.",
    )
    loss_parts: Count = Field(
        default=1,
        description="Parts of a step's samples: the loss is the mean over parts of the mean over each part's "
        "supervised tokens (paper: 16, one per GPU of the released runs). 1: the mean over all supervised tokens.",
    )
    group_by_modality_length: bool = Field(
        default=False,
        description="Whether a step holds rows with images or rows of text alone, in parts of like length "
        "(released scripts: in fine-tuning).",
    )
    warmup_ratio: Fraction = Field(
        default=0.03, description="Share of the steps in which the learning rate rises (paper: 0.03)."
    )
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine",
        description="The learning rate after warm-up: `cosine` decay to zero (LLaVA's scripts), or `constant`, as "
        "Qwen-VL's fine-tuning script really ran.",
    )
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW weight decay (paper: 0).")
    adam_beta2: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay of AdamW's mean of squared gradients (LLaVA's scripts: 0.999; Qwen-VL's: 0.95).",
    )
    gradient_clip: Positive | None = Field(
        default=None, description="Largest gradient norm. null: not clipped (paper)."
    )
    sequence_length: Count = Field(
        default=2048,
        description="Tokens after which a conversation is cut, an image counted as one (paper: 2,048). A packed row is "
        "as long as one such conversation with its visual tokens.",
    )
    template: Literal["plain", "v1", "qwen_official"] = Field(
        default="plain",
        description="`plain`: image and caption, no question (paper §4.2). `v1`: conversations (paper §4.3), in the "
        "form of the model's family. `qwen_official`: the marks of turns are supervised too, as in Qwen-VL's script.",
    )
    image_aspect_ratio: Literal["square", "pad"] = Field(
        default="square", description="`square`: centre crop (paper §4.2). `pad`: filled up to a square (paper §4.3)."
    )
    train_projector: bool = Field(default=True, description="Whether the projector is trained (paper: in every stage).")
    train_llm: bool = Field(default=True, description="Whether the language model is trained (paper §4.2, §4.3: yes).")
    lora: Adapters | None = Field(
        default=None,
        description="Adapters that are trained in place of the LLM's weights, where `train_llm` says that it learns; "
        "the checkpoint has them merged. LLaVA's script goes with a `learning_rate` of 2e-4 and a "
        "`projector_learning_rate` of 2e-5. null: all weights of the LLM (paper).",
    )
    tune_vit_from_layer: CountOrNone | None = Field(
        default=None,
        description="First block of the vision tower that is trained, from 0 (paper §4.2 and table 6: 12 of 24, the "
        "upper half). null: the tower is frozen (paper §4.3).",
    )
    checkpoint_minutes: Positive = Field(
        default=30,
        description="Minutes between saved states to resume from: as much as a kill can cost. A signal that asks for "
        "the end saves one too.",
    )
    precision: Precision = Field(default="bfloat16", description="Number format (paper: bfloat16).")


class Captioner(Section):
    """Share-Captioner: a model fine-tuned on the seed captions, which then captions all images (paper §3.3)."""

    published: PublishedModel | None = Field(
        default=None, description="Finished captioner to take; nothing of it is trained. null: trained here."
    )
    base: PublishedModel | None = Field(
        default=None, description="Published model that its training starts from. null: the aligned model of `size`."
    )
    size: Name = Field(default="7b", description="Its language model, a name in `base_models.llm` (paper §3.3: 7B).")
    instruction: Path = Field(
        default=Path("config/prompts/captioner.txt"),
        description="Path of the one instruction that precedes every image (paper §3.3).",
    )
    recipe: Recipe = Field(
        default=Recipe(template="v1", tune_vit_from_layer=12),
        description="Its training. The paper does not state one; this is that of its pre-training, on conversations.",
    )
