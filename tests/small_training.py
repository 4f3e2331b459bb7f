"""A small world to train on, and trainings of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sharegpt4v.config.base_models import Projector
from sharegpt4v.config.compute import SINGLE_PROCESS
from sharegpt4v.config.training import Recipe
from sharegpt4v.files import write_json
from tiny_llava import write_pictures, write_tower_and_llm

RECIPE: dict[str, Any] = {
    "learning_rate": 2e-3, "batch_size": 2, "batch_of": "rows", "sequence_length": 96, "template": "v1",
    "image_aspect_ratio": "pad", "precision": "float32", "gradient_clip": 1.0,
}  # fmt: skip


World = tuple[tuple[Path, Path], list[dict[str, Any]], Path]


def row(image: str | None, *answers: str, question: str = "What color is it?") -> dict[str, Any]:
    turns: list[dict[str, str]] = []
    for answer in answers:
        mark = "<image>\n" if image and not turns else ""
        turns += [{"from": "human", "value": mark + question}, {"from": "gpt", "value": answer}]
    return {"id": image or "text", **({"image": image} if image else {}), "conversations": turns}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Base models with tied words as the mini preset has them, pictures, rows with and without images."""
    folder = tmp_path_factory.mktemp("training")
    pictures = write_pictures(folder / "data", 24)
    rows = [row(image, words, words.split()[0]) for image, words in pictures.items()]
    rows += [row(None, f"It is {word}.") for word in ("red", "blue", "green")]
    write_json(folder / "rows.json", rows)
    return write_tower_and_llm(folder, tied=True), rows, folder


def train(
    start: Any,
    rows: Any,
    world: World,
    out: Path,
    compute: Any = None,
    projector: Projector = "mlp2x_gelu",
    **recipe: Any,
) -> None:
    from sharegpt4v.training.ranks import SINGLE_RANK
    from sharegpt4v.training.stages import train_stage

    data, settings = world[2] / "data", Recipe(**(RECIPE | recipe))
    compute = compute or SINGLE_PROCESS
    work = out.parent / "work"
    train_stage(start, rows, data, out, settings, 3, work, "finetuning", SINGLE_RANK, compute, projector=projector)


def weights(folder: Path) -> dict[str, Any]:
    from sharegpt4v.models.building import load_llava

    return dict(load_llava(folder)[0].named_parameters())


def stored(rows: Any, tokenizer: Any, recipe: Any, image_tokens: Any, data: Any, folder: Any) -> Any:
    """The samples of rows, by way of their folder."""
    from sharegpt4v.models.family import family_named
    from sharegpt4v.training.rows import read_rows, tokenise
    from sharegpt4v.training.samples import Samples, Tally, write_samples

    tally, read = Tally(), (row for _, row in read_rows(rows, data, "rows"))
    tokens = tokenise(
        read, family_named("llava"), tokenizer, recipe.template, recipe.sequence_length, "finetuning", tally
    )
    write_samples(folder, tokens, tokenizer.convert_tokens_to_ids("<image>"), image_tokens, tally)
    return Samples(folder, data)
