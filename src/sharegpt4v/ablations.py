"""The ablations of a config as models, pre-trainings and corpora to make, each once however many variants share it.

A variant that equals a row of `models` is that row. Every other has a name that follows from what it is made of, so
that equal variants are one model, and a variant whose statement changes is another model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sharegpt4v import layout
from sharegpt4v.config.ablations import PretrainingCaptions
from sharegpt4v.config.models import TrainedModel
from sharegpt4v.config.training import Recipe
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.config.ablations import Ablation, Variant


class AblatedModel(TrainedModel):
    """A model of an ablation that is no row of the table.

    `pretrained` names its pre-training, empty where it has none; `author` wrote the captions that come into its mix.
    """

    pretrained: str
    author: Literal["teacher", "captioner"]


@dataclass(frozen=True)
class Pretraining:
    """A pre-training: its name, which is that of its folder, and what it is made of.

    `captions` are the name of a corpus of the ablations, None for the whole pre-training corpus.
    """

    name: str
    size: str
    recipe: Recipe
    captions: str | None = None

    @property
    def corpus(self) -> Path:
        """The captions that it learns from."""
        return layout.ablation_corpus(self.captions) if self.captions else layout.PRETRAINING_CORPUS


@dataclass(frozen=True)
class Captioner:
    """A captioner: its name, which is that of its folder, and what it is made of: `seed_captions` is their share."""

    name: str
    size: str
    recipe: Recipe
    seed_captions: float


def variants_of(config: Config, study: Ablation) -> list[tuple[Variant, TrainedModel]]:
    """Return the variants of a study with their models, rows of the table among them."""
    return [(variant, _model(config, study, variant)) for variant in study.variants]


def models(config: Config) -> dict[str, AblatedModel]:
    """Return the models that only ablations have, by name, each once."""
    found = (model for study in config.ablations.studies.values() for _, model in variants_of(config, study))
    return {model.name: model for model in found if isinstance(model, AblatedModel)}


def pretrainings(config: Config) -> dict[str, Pretraining]:
    """Return the pre-trainings that only ablations have, by name, each once.

    Among them is that of a size as the table's models have it, where none of these is of that size.
    """
    stated = (
        _pretraining(config, study, variant)
        for study in config.ablations.studies.values()
        for variant, model in variants_of(config, study)
        if isinstance(model, AblatedModel) and model.pretrained
    )
    of_rows = {model.size for model in config.models if model.pretraining == "captions"}
    taken = {size for size, llm in config.base_models.llm.items() if llm.pretrained}
    return {one.name: one for one in stated if one.name not in of_rows | taken}


def pretraining_named(config: Config, name: str) -> Pretraining:
    """Return a pre-training of a size, as the table's models have it, or one of an ablation."""
    if name in config.base_models.llm:
        return Pretraining(name, name, config.pretraining)
    found = pretrainings(config)
    if name not in found:
        raise UserError(f"pre-training {name!r}; expected one of {', '.join([*config.base_models.llm, *found])}")
    return found[name]


def caption_sets(config: Config) -> dict[str, PretrainingCaptions]:
    """Return the captions of the ablations' pre-trainings, by the name of their file."""
    stated = (variant.captions for study in config.ablations.studies.values() for variant in study.variants)
    return {name: captions for captions in stated if (name := _captions_name(config, captions))}


def captioners(config: Config) -> dict[str, Captioner]:
    """Return the captioners that only ablations have, by name, each once."""
    stated = (captioner_of(config, captions) for captions in caption_sets(config).values())
    return {captioner.name: captioner for captioner in stated if captioner}


def captioner_named(config: Config, name: str) -> Captioner:
    """Return a captioner of an ablation."""
    found = captioners(config)
    if name not in found:
        raise UserError(f"captioner {name!r}; expected one of {', '.join(found) or 'none: no ablation has one'}")
    return found[name]


def captioner_of(config: Config, captions: PretrainingCaptions) -> Captioner | None:
    """Return the captioner that only ablations have and whose captions these are; None where it is the run's, or
    nobody's."""
    stated, own = captions.captioner, config.captioner
    if stated is None or "captioner" not in captions.authors:
        return None
    size, share = stated.size or own.size, stated.seed_captions
    parts = [size] if size != own.size else []
    parts += [f"seed-captions-{share:g}"] if share < 1 else []
    parts += _differences(own.recipe, stated.recipe)
    return Captioner("_".join(parts), size, _changed(own.recipe, stated.recipe), share) if parts else None


def mixes(config: Config) -> dict[str, Path]:
    """Return the mixes whose captions the captioner writes anew, by the name of the file that this makes."""
    found = [model for model in models(config).values() if model.author == "captioner" and model.mix]
    before = [layout.corpus(model.mix, model.substitution) for model in found if model.mix]
    return {layout.rewritten(mix).stem: mix for mix in before}


def _model(config: Config, study: Ablation, variant: Variant) -> TrainedModel:
    whole = _ablated(config, study)
    differences = {
        key: value for key in ("size", "pretraining", "substitution") if (value := getattr(variant, key)) is not None
    }
    stated = whole.model_copy(update=differences)
    pretrained = _pretraining(config, study, variant).name if stated.pretraining == "captions" else ""
    alike = ("size", "pretraining", "mix", "substitution", "base", "published")
    if pretrained in ("", stated.size) and variant.finetuning_captions == "teacher":
        for row in config.models:
            if all(getattr(row, key) == getattr(stated, key) for key in alike):
                return row
    mix = f"{stated.mix}" + (f"+{stated.substitution}" if stated.substitution != "none" else "")
    mix += "_captioner" if variant.finetuning_captions == "captioner" else ""
    name = f"{layout.ABLATIONS}/" + f"{pretrained or f'{stated.size}_aligned'}+{mix}".replace("_", "-")
    fields = stated.model_dump() | {"name": name, "paper": None}
    return AblatedModel.model_construct(**fields, pretrained=pretrained, author=variant.finetuning_captions)


def _ablated(config: Config, study: Ablation) -> TrainedModel:
    return next(model for model in config.models if model.name == study.model)


def _pretraining(config: Config, study: Ablation, variant: Variant) -> Pretraining:
    size = variant.size or _ablated(config, study).size
    assert size is not None
    captions = _captions_name(config, variant.captions)
    recipe = _changed(config.pretraining, variant.recipe)
    parts = [size, *filter(None, [captions]), *_differences(config.pretraining, variant.recipe)]
    return Pretraining("_".join(parts), size, recipe, captions)


def _changed(recipe: Recipe, changed: dict[str, Any]) -> Recipe:
    return Recipe.model_validate(recipe.model_dump() | changed)


def _differences(recipe: Recipe, changed: dict[str, Any]) -> list[str]:
    """The keys of a recipe with their values, as parts of a name, where these are other than before."""
    before, after = recipe.model_dump(mode="json"), _changed(recipe, changed).model_dump(mode="json")
    different = {key: value for key, value in after.items() if value != before[key]}
    return [f"{key}-{'null' if value is None else value}" for key, value in different.items()]


def _captions_name(config: Config, captions: PretrainingCaptions) -> str | None:
    """The name of the file of a set of captions; None for the whole pre-training corpus."""
    beside = sorted(set(captions.described_by) - {captions.author})
    by = captioner_of(config, captions)
    some = captions.sources is not None and not set(config.captions.sources) <= set(captions.sources)
    if captions.author == "captioner" and captions.share == 1 and not (some or beside or by):
        return None
    parts = [captions.author, *(sorted(captions.sources or ()) if some else ())]
    parts += [f"by-{by.name}"] if by else []
    parts += [f"with-{'-'.join(beside)}"] if beside else []
    return "_".join([*parts, *([f"share-{captions.share:g}"] if captions.share < 1 else [])])
