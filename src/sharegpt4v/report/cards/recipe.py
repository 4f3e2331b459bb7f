"""How a checkpoint was made, for its card: the settings of its stage, what its training read, how the loss went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v import layout
from sharegpt4v.report.cards import records
from sharegpt4v.report.cards.rendering import NO_RECORD, facts, paragraphs, span

if TYPE_CHECKING:
    from sharegpt4v.config import Config

TRAININGS = ("alignment", "captioner", "pretraining", "finetuning")
NO_SETTINGS = {"checkpoint_minutes", "published", "projector", "pretrained"}  # the last three are what it is made from


def recipe_section(config: Config, folder: Path, stage: str) -> str:
    """Return the settings of the training, what it read, how its loss went, and the code."""
    settings, about = settings_of(config, folder, stage), records.provenance_in(folder)
    code = {"Version of the pipeline": about.get("version"), "Seed": about.get("seed")}
    code |= {"Hash of the code that made it": about.get("code"), "Hash of its settings": about.get("config")}
    read = _read(about.get("rows")) | _loss(records.losses_of(folder)) if settings and stage in TRAININGS else {}
    return paragraphs(
        "Settings, by their keys in the config:" if settings else "",
        facts({key: span(value) for key, value in settings.items()}),
        "What the run recorded:",
        facts(read | {name: span(value) for name, value in code.items() if value is not None}) or NO_RECORD,
    )


def _read(rows: dict[str, Any] | None) -> dict[str, object]:
    """What became of the rows that a training read."""
    if rows is None:
        return {"Rows read": None}
    left_out = ", ".join(f"{count:,}: {why}" for why, count in rows["left_out"].items())
    cut = {"Rows cut at the longest sequence": f"{rows['cut']:,}", "Rows left out": left_out or "0"}
    return {"Rows read": f"{rows['read']:,}", **cut}


def _loss(losses: list[float] | None) -> dict[str, object]:
    """How the loss went: the mean of the first and of the last tenth of the steps."""
    if not losses:
        return {"Optimiser steps": None}
    tenth = max(1, len(losses) // 10)
    first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
    return {
        "Optimiser steps": f"{len(losses):,}",
        "Mean loss, first tenth of the steps": f"{first:.4f}",
        "Mean loss, last tenth": f"{last:.4f}",
    }


def settings_of(config: Config, folder: Path, stage: str) -> dict[str, Any]:
    """Return the settings of the stage that made a checkpoint, by their keys in the config, nested ones dotted."""
    base = config.base_models
    size = next((size for size in base.llm if folder in (layout.llm(size), layout.aligned(size))), "")
    sections: dict[str, dict[str, Any]] = {
        "vision_tower": {"base_models.vision_tower": base.vision_tower},
        "language_model": {
            f"base_models.llm.{size}": base.llm.get(size),
            "base_models.llm_training": base.llm_training,
        },
        "alignment": {"alignment": config.alignment},
        "captioner": {"captioner.recipe": config.captioner.recipe},
        "pretraining": {"pretraining": config.pretraining},
        "finetuning": {"finetuning": config.finetuning},
    }
    wanted = sections.get(stage, {})
    if stage == "language_model" and not base.llm[size].published:
        wanted |= {"base_models.llm_training": base.llm_training}
    if stage == "alignment" and base.llm[size].projector:  # joined by a published projector, nothing is trained
        wanted = {}
    dumped = {key: section.model_dump(mode="json", exclude=NO_SETTINGS) for key, section in wanted.items()}
    return {f"{key}.{name}": value for key, tree in dumped.items() for name, value in _flat(tree)}


def _flat(tree: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", one) for inner, one in _flat(value))
        else:
            yield key, "null" if value is None else str(value).lower() if isinstance(value, bool) else value
