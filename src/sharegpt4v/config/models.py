"""Sections ``models`` and ``substitution``: the rows of the results table, and the pairs that show what captions do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sharegpt4v.config.base_models import PublishedModel
from sharegpt4v.config.section import Name, Section, Text


class TrainedModel(Section):
    """One row of the results table: a multi-modal model and the data it is trained on (paper table 3, figure 2).

    It is fine-tuned from a model that is made here, or from a published one (`base`), or taken as it is (`published`).
    """

    name: Name = Field(description="Its name: its row in the table and its folder under `checkpoints/`.")
    published: PublishedModel | None = Field(
        default=None, description="Finished model to take; nothing of it is trained. null: fine-tuned here."
    )
    base: PublishedModel | None = Field(
        default=None, description="Published model that the fine-tuning starts from. null: one that is made here."
    )
    size: Name | None = Field(
        default=None,
        description="Its language model, a name in `base_models.llm`; of a published model, for its cost in the plan. "
        "null: none of these.",
    )
    pretraining: Literal["none", "captions"] = Field(
        default="none",
        description="`captions`: pre-trained on the captioner's captions (paper §4.2). `none`: aligned only.",
    )
    mix: Name | None = Field(
        default=None,
        description="Its instruction mix, a name in `corpora.instruction_mixes`. null: it is not fine-tuned here.",
    )
    substitution: Literal["none", "coco", "all"] = Field(
        default="none",
        description="Whose captions replace the mix's detail captions: `none`, `coco` (paper §5.4), `all` (paper "
        "§4.3).",
    )
    paper: Text | None = Field(default=None, description="What the paper's tables call it. null: it is not in them.")


class SubstitutionPair(Section):
    """Two models that differ in nothing but their detail captions (paper §3.2 and §5.4, figure 2)."""

    before: Name = Field(description="The model with the captions of its own mix.")
    after: Name = Field(description="The model with ShareGPT4V's captions in their place.")
    paper: Text | None = Field(
        default=None, description="What the paper's figure 2 calls the pair. null: it is not there."
    )
