"""Whether the trainings of a run fit the memory of their devices, and which keys make those fit that do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from sharegpt4v import lineage
from sharegpt4v.catalogues.hardware import read_hardware
from sharegpt4v.config import Config
from sharegpt4v.config.base_models import BaseModels
from sharegpt4v.config.compute import Compute
from sharegpt4v.config.training import Recipe
from sharegpt4v.plan.memory import Memory, Pass, training_memory
from sharegpt4v.plan.tables import read_assumptions

SAVING: dict[str, Any] = {
    "recompute_activations": True,
    "rows_at_once": 1,
    "zero_stage": 3,
    "offload_optimiser": True,
}
"""Keys of `compute` that save memory, those first that slow steps the least; as few as do are named."""


def fitting_keys(
    models: BaseModels, size: str, recipe: Recipe, compute: Compute, text_tokens: float, device: str
) -> tuple[dict[str, Any], Memory, bool]:
    """Return the keys of `compute` to change, what a training takes then, and whether it fits a device by that.

    `text_tokens` are those of a row beside its image. `device` is a row of config/hardware.tsv.
    """
    room = usable_bytes(device)

    def needed(changed: dict[str, Any]) -> Memory:
        used = compute.model_copy(update=changed)
        one = Pass.largest(models, recipe, used, text_tokens, masked=used.attention == "sdpa")
        return training_memory(models, size, recipe, used, one)

    left = {key: value for key, value in SAVING.items() if getattr(compute, key) != value}
    for count in range(len(left) + 1):
        for keys in combinations(left, count):
            changed = {key: left[key] for key in keys}
            if (memory := needed(changed)).device <= room:
                return changed, memory, True
    return left, needed(left), False


def usable_bytes(device: str) -> float:
    """Return how many bytes of a device a training may take."""
    return read_hardware()[device].memory * read_assumptions()["usable_device_memory"]


def fitting_lines(config: Config, device: str, stages: Mapping[str, Any]) -> list[str]:
    """Return a line for each training of a config among `stages`, in devices of a row of config/hardware.tsv.

    The miniature is left out: it fits everywhere.
    """
    if config.mini:
        return []
    return [_line(config, *one, device) for one in _trainings(config) if one[0] in stages]


def _trainings(config: Config) -> Iterator[tuple[str, str, Recipe, str]]:
    """Yield stage, size, recipe and the assumed tokens of text of each kind of training."""
    for size in lineage.sizes(config):
        if not config.base_models.llm[size].projector:
            yield "alignment", size, config.alignment, "short_caption_tokens"
    if lineage.trains_captioner(config) and not config.captioner.base:
        yield "captioner", config.captioner.size, config.captioner.recipe, "caption_tokens"
    for size in lineage.pretrained_sizes(config):
        yield "pretraining", size, config.pretraining, "caption_tokens"
    for size in dict.fromkeys(m.size for m in lineage.finetuned_models(config) if m.size and not m.base):
        yield "finetuning", size, config.finetuning, "instruction_tokens"


def _line(config: Config, stage: str, size: str, recipe: Recipe, text: str, device: str) -> str:
    said = f"memory of {stage}, {size}"
    if recipe.lora and recipe.train_llm:
        return f"{said}: not counted for lora"
    tokens, room = read_assumptions()[text], usable_bytes(device) / 1e9
    changed, memory, fits = fitting_keys(config.base_models, size, recipe, config.compute, tokens, device)
    needed = (
        f"{memory.device / 1e9:,.0f} of {room:,.0f} GB of each {device}, {memory.host / 1e9:,.0f} GB of a node's host"
    )
    keys = ", ".join(f"compute.{key} {str(value).lower()}" for key, value in changed.items())
    if not fits:
        return f"{said}: does not fit, {needed} even with {keys}; take more devices, or larger ones"
    return f"{said}: does not fit, but with {keys}: {needed}" if changed else f"{said}: fits, {needed}"
