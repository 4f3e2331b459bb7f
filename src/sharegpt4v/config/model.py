"""The whole config: its sections in the order of the pipeline."""

from __future__ import annotations

from pydantic import Field

from sharegpt4v.config.ablations import Ablations
from sharegpt4v.config.base_models import BaseModels
from sharegpt4v.config.benchmarks import Benchmarks
from sharegpt4v.config.captions import Captions
from sharegpt4v.config.compute import Compute
from sharegpt4v.config.corpora import Corpora
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.judge import Judge
from sharegpt4v.config.mini import Mini
from sharegpt4v.config.models import SubstitutionPair, TrainedModel
from sharegpt4v.config.section import Name, Section
from sharegpt4v.config.sources import Sources
from sharegpt4v.config.teacher import Teacher
from sharegpt4v.config.tracking import Tracking
from sharegpt4v.config.training import Captioner, Recipe

LLAVA = TrainedModel(
    name="llava-1.5-7b", size="7b", pretraining="none", mix="llava-665k", substitution="none", paper="LLaVA-1.5-7B"
)
LLAVA_SUBSTITUTED = LLAVA.model_copy(update={"name": "llava-1.5-7b+sharegpt4v", "substitution": "coco", "paper": None})
SHAREGPT4V = LLAVA.model_copy(
    update={"name": "sharegpt4v-7b", "pretraining": "captions", "substitution": "all", "paper": "ShareGPT4V-7B"}
)


class Config(Section):
    """Every number and path of a run. ``sharegpt4v.config.load`` reads it, and checks that the sections agree."""

    name: Name = Field(description="Name of the preset.")
    seed: int = Field(
        default=42,
        ge=0,
        le=2**32 - 1,
        description="Seed of everything that is drawn at random. The released scripts set none; 42 is the default of "
        "their library.",
    )
    mini: Mini | None = Field(default=None, description="The synthetic world. null: real images.")
    sources: Sources = Field(
        default=Sources(), description="Images and annotation files: where from, how many may be bad."
    )
    teacher: Teacher = Field(default=Teacher(), description="Seed captions from a strong vision model (paper §3.2).")
    base_models: BaseModels = Field(
        default=BaseModels(), description="Vision tower, tokenizer and language models to start from (paper §4.1)."
    )
    alignment: Recipe = Field(
        default=Recipe(learning_rate=1e-3, loss_parts=8, train_llm=False),
        description="Alignment of a new projector on short captions. The paper takes LLaVA-1.5's: projector only, "
        "learning rate 1e-3, batches of 256.",
    )
    captioner: Captioner = Field(
        default=Captioner(), description="The captioner, trained on the seed captions (paper §3.3)."
    )
    captions: Captions = Field(
        default=Captions(), description="The captioner's captions for pre-training (paper §3.3)."
    )
    corpora: Corpora = Field(
        default=Corpora(), description="Instruction mixes, with detail captions replaced (paper §4.3, §5.4)."
    )
    pretraining: Recipe = Field(
        default=Recipe(loss_parts=16, tune_vit_from_layer=12),
        description="Pre-training on the captioner's captions (paper §4.2).",
    )
    finetuning: Recipe = Field(
        default=Recipe(
            batch_size=128, loss_parts=16, group_by_modality_length=True, template="v1", image_aspect_ratio="pad"
        ),
        description="Fine-tuning on an instruction mix (paper §4.3).",
    )
    compute: Compute = Field(default=Compute(), description="Nodes and processes that train one model together.")
    models: tuple[TrainedModel, ...] = Field(
        default=(LLAVA, LLAVA_SUBSTITUTED, SHAREGPT4V),
        min_length=1,
        description="The rows of the results table (paper table 3).",
    )
    substitution: tuple[SubstitutionPair, ...] = Field(
        default=(SubstitutionPair(before=LLAVA.name, after=LLAVA_SUBSTITUTED.name, paper=LLAVA.paper),),
        description="Pairs of models that are compared before and after substitution (paper figure 2).",
    )
    ablations: Ablations = Field(
        default=Ablations(), description="What each part of the method adds (paper §5.4, tables 4 to 6, figure 6)."
    )
    benchmarks: Benchmarks = Field(default=Benchmarks(), description="The columns of the results table (paper §5.1).")
    judge: Judge = Field(
        default=Judge(), description="The model that grades the columns LLaVA-Bench-Wild and MM-Vet (paper §5.1)."
    )
    tracking: Tracking = Field(default=Tracking(), description="MLflow.")

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """The sections, by their keys, whose endpoints a run asks; the judge's only where a benchmark needs it."""
        asked: dict[str, Endpoint] = {"teacher": self.teacher}
        if self.benchmarks.judged:
            asked["judge"] = self.judge
        for name, section in (("captions", self.captions), ("benchmarks", self.benchmarks)):
            if endpoint := section.asked_endpoint:
                asked[f"{name}.endpoint"] = endpoint
        return asked
