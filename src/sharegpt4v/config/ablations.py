"""Section ``ablations``: studies of what each part of the method adds (paper §5.4, tables 4 to 6, figure 6).

Nothing of it is part of a run: `snakemake ablations` makes what the section names.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sharegpt4v.config.benchmarks import BenchmarkName
from sharegpt4v.config.section import Name, Section, SourceName, Text

Author = Literal["captioner", "teacher", "blind", "short"]
"""Who wrote captions: the captioner (the pre-training corpus), the teacher (seed captions), LLaVA's language model that
saw no image (detail captions), or people and BLIP (COCO's first captions, LLaVA's alignment captions)."""


RecipeKey = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_]*$", json_schema_extra={"patternErrorMessage": "a key of a recipe"}),
]


class OtherCaptioner(Section):
    """A captioner as a list of differences to the run's (paper §3.3). Its defaults are the run's."""

    seed_captions: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of the seed captions that it learns from, chosen by the seed; a larger one contains a "
        "smaller one.",
    )
    size: Name | None = Field(default=None, description="Its language model, a name in `base_models.llm`.")
    recipe: dict[RecipeKey, int | float | bool | str | None] = Field(
        default={}, description="Keys of `captioner.recipe` that differ."
    )


class PretrainingCaptions(Section):
    """Which captions a variant is pre-trained on. Its defaults are the whole pre-training corpus."""

    author: Author = Field(
        default="captioner",
        description="Whose captions: the `captioner`'s, the `teacher`'s (seed captions), `blind` (LLaVA's detail "
        "captions, written without the image) or `short` (COCO's first captions, LLaVA's alignment captions).",
    )
    captioner: OtherCaptioner | None = Field(
        default=None, description="The captioner that writes those of the author `captioner`. null: the run's."
    )
    sources: tuple[SourceName, ...] | None = Field(
        default=None, description="Sources of the images. null: all that have such captions (paper table 5: `llava`)."
    )
    described_by: tuple[Author, ...] = Field(
        default=(),
        description="Only images that all of these describe too, so that variants have equal images in equal order.",
    )
    share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of the captions, chosen by the seed; a larger one contains a smaller one (paper figure 6).",
    )

    @property
    def authors(self) -> set[Author]:
        """Those whose captions decide what is chosen."""
        return {self.author, *self.described_by}


class Variant(Section):
    """A model as a list of differences to the ablated one. Keys that are not given are those of that model."""

    name: Text = Field(description="What the tables and figures call it.")
    paper: Text | None = Field(
        default=None, description="What config/paper/ablations.csv calls it. null: it is not in the paper."
    )
    size: Name | None = Field(default=None, description="Its language model, a name in `base_models.llm`.")
    pretraining: Literal["none", "captions"] | None = Field(
        default=None, description="`none`: aligned only; `captions`: pre-trained on `captions`."
    )
    captions: PretrainingCaptions = Field(
        default=PretrainingCaptions(), description="The captions that it is pre-trained on."
    )
    recipe: dict[RecipeKey, int | float | bool | str | None] = Field(
        default={}, description="Keys of `pretraining` that differ, such as `tune_vit_from_layer` (paper table 6)."
    )
    substitution: Literal["none", "coco", "all"] | None = Field(
        default=None, description="Whose captions replace the mix's detail captions, as in `models`."
    )
    finetuning_captions: Literal["teacher", "captioner"] = Field(
        default="teacher",
        description="Who wrote the captions that come into the mix: `captioner` writes those of the same images anew, "
        "where it has described them.",
    )


class Ablation(Section):
    """One study: variants of a model, and what the paper calls it."""

    title: Text = Field(description="Title of its panel.")
    model: Name = Field(description="The ablated model, a name in `models` that is pre-trained and fine-tuned here.")
    paper: Text | None = Field(
        default=None, description="Its name in config/paper/ablations.csv. null: it is not in the paper."
    )
    draw: Literal["rows", "curve"] = Field(
        default="rows", description="`curve`: over the number of captions of pre-training (paper figure 6)."
    )
    memory: bool = Field(default=False, description="Whether the peak memory of pre-training is shown (paper table 6).")
    variants: tuple[Variant, ...] = Field(min_length=1, description="Its models, the one to compare with first.")


class Ablations(Section):
    """The studies that `snakemake ablations` makes, and the columns that their models fill."""

    benchmarks: tuple[BenchmarkName, ...] = Field(
        default=("mme", "mmbench", "seed"),
        min_length=1,
        description="Benchmarks that the variants answer, each of `benchmarks.names` (paper: MME, MMBench, SEED).",
    )
    columns: tuple[Text, ...] = Field(
        default=("MME-perception", "MMBench", "SEED-image"),
        min_length=1,
        description="Columns of these benchmarks that are shown (paper: those of the default).",
    )
    studies: dict[Name, Ablation] = Field(default={}, description="The studies by name.")
