"""What runs are compared by: the scores of a model, a row of the results table, and the few settings that matter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v import layout
from sharegpt4v.evaluation.table import read_cells

if TYPE_CHECKING:
    from sharegpt4v.config import Config
    from sharegpt4v.config.models import TrainedModel
    from sharegpt4v.config.training import Recipe

ERROR = "standard error"  # before the name, so that a page sorted by name has the columns together
DECIMALS = 4  # a column of the list is narrow


def run_params(config: Config) -> dict[str, Any]:
    """Return what tells the runs of one preset from those of another."""
    return {"preset": config.name, "seed": config.seed}


def training_params(stage: str, config: Config) -> dict[str, Any]:
    """Return the few keys of a training's recipe that people compare; none of a stage that is no training."""
    recipes = {
        "alignment": config.alignment,
        "captioner": config.captioner.recipe,
        "pretraining": config.pretraining,
        "finetuning": config.finetuning,
    }
    return {} if stage not in recipes else run_params(config) | _recipe(recipes[stage])


def model_params(model: TrainedModel, config: Config) -> dict[str, Any]:
    """Return what tells a model from the others: size, data and recipe, or the published model that was taken."""
    taken = model.published or model.base
    about = {
        "size": model.size,
        "pretraining": None if taken else model.pretraining,
        "mix": model.mix,
        "substitution": model.substitution if model.mix else None,
        "published": taken.id if taken else None,
    }
    recipe = {} if model.published else _recipe(config.finetuning)
    return run_params(config) | {name: value for name, value in about.items() if value is not None} | recipe


def score_metrics(root: Path, model: str, errors: bool = False) -> dict[str, float]:
    """Return the scores of a model by column of the table, and with `errors` their standard errors."""
    cells = read_cells(root / layout.SCORES, model)
    found = {name: cell.value for name, cell in cells.items()}
    if errors:
        found |= {f"{ERROR}/{name}": cell.stderr for name, cell in cells.items() if cell.stderr is not None}
    return {name: round(value, DECIMALS) for name, value in found.items()}


def _recipe(recipe: Recipe) -> dict[str, Any]:
    trained = {"learning_rate": recipe.learning_rate, "epochs": recipe.epochs, "batch_size": recipe.batch_size}
    return trained | ({"lora_rank": recipe.lora.rank} if recipe.lora else {})
