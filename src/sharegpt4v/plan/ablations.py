"""What the ablations of a config cost beside its run: `snakemake ablations` makes them, and no run does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sharegpt4v import ablations
from sharegpt4v.config import Config
from sharegpt4v.config.ablations import Author, PretrainingCaptions
from sharegpt4v.pipeline.targets import expected_images
from sharegpt4v.plan.estimate import Estimate


@dataclass(frozen=True)
class AblationCost:
    """How many captioners, pre-trainings and models only ablations have, and their GPU-hours; None where these are not
    known. Those of the captioners are of their training and of all captions that they write."""

    captioners: int
    pretrainings: int
    models: int
    captioning_hours: float | None
    pretraining_hours: float
    finetuning_hours: float | None
    answering_hours: float | None


def ablation_cost(estimate: Estimate) -> AblationCost:
    """Return what all ablations of a config cost, whatever of them is done already."""
    config, family, assumed = estimate.config, estimate.family, estimate.assumed
    made = ablations.pretrainings(config)
    pretraining = 0.0
    for one in made.values():
        flops = family.training_flops(estimate.models, one.size, one.recipe, assumed["caption_tokens"])
        pretraining += estimate.hours(flops * _rows(config, one.captions, assumed) * one.recipe.epochs, "pretraining")
    models = [*ablations.models(config).values()]
    tuned = estimate.finetuning_of(models)
    questions = estimate.questions(config.ablations.benchmarks)
    answers = estimate.answers_of([model.size for model in models], questions)
    captioners = [*ablations.captioners(config).values()]
    captioning = _sum(hours for one in captioners for hours in _captioning_hours(estimate, one))
    counts = len(captioners), len(made), len(models)
    return AblationCost(*counts, captioning, pretraining, tuned.gpu_hours, answers.gpu_hours)


def _captioning_hours(estimate: Estimate, captioner: ablations.Captioner) -> tuple[float, float | None]:
    """GPU-hours of the training of a captioner, and of its captions."""
    config, assumed, recipe = estimate.config, estimate.assumed, captioner.recipe
    rows = captioner.seed_captions * sum(config.teacher.captions.values())
    flops = estimate.family.training_flops(estimate.models, captioner.size, recipe, assumed["caption_tokens"])
    training = estimate.hours(flops * rows * recipe.epochs, "captioner")
    return training, estimate.captions_of(captioner.size).gpu_hours


def _sum(hours: Iterable[float | None]) -> float | None:
    known = list(hours)
    return None if None in known else sum(one or 0 for one in known)


def ablation_lines(estimate: Estimate) -> list[str]:
    """Return a line on the ablations for the plan; none for a config without any."""
    if not estimate.config.ablations.studies:
        return []
    cost = ablation_cost(estimate)
    captioners = f"{cost.captioners} captioners with their captions ({_shown(cost.captioning_hours)} GPU-hours)"
    parts = [
        *([captioners] if cost.captioners else []),
        f"{cost.pretrainings} pre-trainings ({_shown(cost.pretraining_hours)} GPU-hours)",
        f"{cost.models} fine-tunings ({_shown(cost.finetuning_hours)})",
        f"their answers ({_shown(cost.answering_hours)})",
    ]
    return [f"ablations, which `snakemake ablations` makes beside the run: {', '.join(parts)}"]


def _shown(hours: float | None) -> str:
    return "?" if hours is None else f"{hours:,.0f}" if hours >= 10 else f"{hours:,.1f}"


def _rows(config: Config, name: str | None, assumed: dict[str, float]) -> float:
    """How many captions a pre-training has; at most, where several authors describe its images."""
    chosen = ablations.caption_sets(config)[name] if name else PretrainingCaptions()
    images = [_images(config, author, chosen.sources, assumed) for author in chosen.authors]
    if {"blind", "teacher"} <= chosen.authors and not config.mini:
        images.append(assumed["images_of_detail_and_seed_captions"])
    return chosen.share * min(images)


def _images(config: Config, author: Author, sources: tuple[str, ...] | None, assumed: dict[str, float]) -> float:
    taken = config.captions.sources if sources is None else sources
    if author == "teacher":
        return sum(count for name, count in config.teacher.captions.items() if sources is None or name in taken)
    if author == "blind":
        return config.mini.instruction_rows.detail if config.mini else assumed["rows_detail_23k.json"]
    named = {"coco", "llava"} & {*taken} if author == "short" else taken
    return sum(expected_images(config, name) for name in named)
