"""Which models and corpora a run makes, which it takes as published, and what each model starts from, by its config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharegpt4v import layout
from sharegpt4v.errors import UserError

TEXT_ONLY = "mmstar-text"
"""The benchmark that is asked without images."""

if TYPE_CHECKING:
    from sharegpt4v.ablations import AblatedModel
    from sharegpt4v.config import Config
    from sharegpt4v.config.base_models import PublishedModel
    from sharegpt4v.config.models import TrainedModel


def model_named(config: Config, name: str) -> TrainedModel:
    """Return a row of the config's `models`, or a model of its ablations; a `UserError` lists the known ones."""
    from sharegpt4v import ablations

    known = {model.name: model for model in config.models} | ablations.models(config)
    if name not in known:
        raise UserError(f"model {name!r} is not in the config; expected one of {', '.join(known)}")
    return known[name]


def finetuned_models(config: Config) -> list[TrainedModel]:
    """Return the rows of the results table that are fine-tuned here."""
    return [model for model in config.models if not model.published]


def finished(model: TrainedModel) -> Path:
    """Return the checkpoint of a row of the results table, fine-tuned here or published."""
    return layout.published(model.published) if model.published else layout.finetuned(model.name)


def start_of(config: Config, model: TrainedModel) -> Path:
    """Return where the fine-tuning of a model starts."""
    if model.base:
        return layout.published(model.base)
    assert model.size is not None
    if model.pretraining == "none":
        return layout.aligned(model.size)
    ablated = _ablated(model)
    name = ablated.pretrained if ablated else model.size
    taken = config.base_models.llm[model.size].pretrained
    return layout.published(taken) if taken and name == model.size else layout.pretrained(name)


def rows_of(config: Config, model: TrainedModel) -> Path:
    """Return the instruction data that a model is fine-tuned on."""
    assert model.mix is not None
    if model.substitution == "none":
        return layout.DATA / config.corpora.instruction_mixes[model.mix]
    corpus = layout.corpus(model.mix, model.substitution)
    ablated = _ablated(model)
    return layout.rewritten(corpus) if ablated and ablated.author == "captioner" else corpus


def _ablated(model: TrainedModel) -> AblatedModel | None:
    from sharegpt4v.ablations import AblatedModel

    return model if isinstance(model, AblatedModel) else None


def benchmarks_of(config: Config, name: str) -> list[str]:
    """Return the benchmarks that a model answers: all of the run, or those of the ablations."""
    from sharegpt4v import ablations

    return [*(config.ablations.benchmarks if name in ablations.models(config) else config.benchmarks.names)]


def captioner(config: Config) -> Path | None:
    """Return the captioner's checkpoint, trained here or published; None where an endpoint has the captioner."""
    if config.captions.engine == "endpoint":
        return None
    taken = config.captioner.published
    return layout.published(taken) if taken else layout.CAPTIONER


def captioner_weights(config: Config) -> list[Path]:
    """Return the files that are there once the captioner is; none where an endpoint has it."""
    checkpoint = captioner(config)
    return [layout.weights(checkpoint)] if checkpoint else []


def captioner_start(config: Config, size: str = "") -> Path:
    """Return where the training of the captioner starts, or of an ablation's, which may be of another `size`."""
    own = config.captioner
    return layout.published(own.base) if own.base and size in ("", own.size) else layout.aligned(size or own.size)


def captions_images(config: Config) -> bool:
    """Whether a run captions images for a pre-training of its own."""
    return bool(pretrained_sizes(config)) and not layout.is_provided(config, layout.PRETRAINING_CORPUS)


def trains_captioner(config: Config) -> bool:
    """Whether a run trains the captioner that captions its images."""
    return captions_images(config) and captioner(config) == layout.CAPTIONER


def uses_seed_captions(config: Config) -> bool:
    """Whether a run learns from seed captions: in an instruction mix, or by its captioner."""
    return trains_captioner(config) or any(model.substitution != "none" for model in config.models)


def corpora(config: Config) -> list[Path]:
    """Return the corpora that a run learns from, each once, in the order of the pipeline."""
    captions = [layout.SEED_CAPTIONS] if uses_seed_captions(config) else []
    captions += [layout.PRETRAINING_CORPUS] if pretrained_sizes(config) else []
    return list(dict.fromkeys([*captions, *(rows_of(config, model) for model in finetuned_models(config))]))


def pretrained_sizes(config: Config) -> list[str]:
    """Return the sizes of language model that a run pre-trains on the captioner's captions, each once."""
    needed = {model.size for model in config.models if model.size and model.pretraining == "captions"}
    return sorted(size for size in needed if not config.base_models.llm[size].pretrained)


def sizes(config: Config) -> list[str]:
    """Return the sizes of language model that a run aligns with the vision tower, each once."""
    aligned = {model.size for model in finetuned_models(config) if not model.base and model.pretraining == "none"}
    aligned |= {*pretrained_sizes(config)}
    if trains_captioner(config) and not config.captioner.base:
        aligned.add(config.captioner.size)
    return sorted(size for size in aligned if size)


def text_baselines(config: Config) -> list[str]:
    """Return the sizes whose language model alone answers what is asked without images.

    What answers is the model that its projector was aligned with: alignment leaves the language model as it is. A size
    that is not aligned in this run has none.
    """
    asked = TEXT_ONLY in config.benchmarks.names and config.benchmarks.engine != "endpoint"
    frozen = not config.alignment.train_llm
    return sizes(config) if asked and frozen else []


def trainings(config: Config) -> dict[str, Path]:
    """Return the checkpoints of a run's trainings by name, in the order of the pipeline."""
    llms = config.base_models.llm
    return {
        **{f"aligned {size}": layout.aligned(size) for size in sizes(config) if not llms[size].projector},
        **({"captioner": layout.CAPTIONER} if trains_captioner(config) else {}),
        **{f"pretrained {size}": layout.pretrained(size) for size in pretrained_sizes(config)},
        **{model.name: layout.finetuned(model.name) for model in finetuned_models(config)},
    }


def checkpoints(config: Config) -> dict[str, Path]:
    """Return the checkpoints that a run makes or takes, by name, in the order of the pipeline."""
    aligned = sizes(config)
    base = {"vision tower": layout.TOWER, **{f"llm {size}": layout.llm(size) for size in aligned}} if aligned else {}
    made = base | {f"aligned {size}": layout.aligned(size) for size in aligned} | trainings(config)
    made |= {model.name: finished(model) for model in config.models}
    taken = {name: layout.published(model) for name, model in published_models(config).items()}
    return made | {name: path for name, path in taken.items() if path not in made.values()}


def data_sets(config: Config) -> dict[str, Path]:
    """Return the caption sets and corpora of a run by name; `captions` are all of the captioner's, in a folder."""
    learned = corpora(config)
    captions = {
        "seed": layout.SEED_CAPTIONS,
        "captions": layout.CAPTION_SHARDS,
        "pretraining": layout.PRETRAINING_CORPUS,
    }
    mixes = {name: layout.DATA / path for name, path in config.corpora.instruction_mixes.items()}
    mixes |= {f"{mix}+{taken}": layout.corpus(mix, taken) for mix in mixes for taken in ("coco", "all")}
    used = {*learned, *([layout.CAPTION_SHARDS] if captions_images(config) else [])}
    return {
        name: path for path, name in {path: name for name, path in (captions | mixes).items()}.items() if path in used
    }


def published_models(config: Config) -> dict[str, PublishedModel]:
    """Return the published models that a run takes, by the name of their folder."""
    llms = config.base_models.llm
    taken = [one for model in config.models for one in (model.published, model.base)]
    taken += [llms[model.size].pretrained for model in config.models if model.size and model.pretraining == "captions"]
    if captions_images(config) and captioner(config):
        taken.append(config.captioner.published or config.captioner.base)
    return {layout.published(one).name: one for one in taken if one}


def families(config: Config) -> list[str]:
    """Return the families of the models of a run: that of those made here, and those of the published ones."""
    return sorted({"llava"} | {model.family for model in published_models(config).values()})
