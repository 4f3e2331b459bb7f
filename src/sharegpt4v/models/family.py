"""The protocol of a family of models, and the registry of families: the files of the folder `families`.

Training, generation and the plan know of a model what its family says. The family of a checkpoint is the
`model_type` of its config.json, or `AUTO`. Nothing here imports torch, which takes seconds, for a type with a file.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, cast

from sharegpt4v.code_hash import names_in
from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor

    from sharegpt4v.config.base_models import BaseModels, Projector
    from sharegpt4v.config.training import Recipe
    from sharegpt4v.models.llava_flops import Operations

DEFAULT = "llava"
AUTO = "auto"
"""The family of every `model_type` that transformers' AutoModelForImageTextToText knows and that has no file here."""
FAMILIES = tuple(name for name in names_in("models.families") if name != AUTO)

Row = Mapping[str, Any]
Find = Callable[[str], Path]
"""Gives the folder of a published checkpoint by its id; a `UserError` when it cannot be had."""
Part = Literal["tower", "projector", "llm"]


class Tokens(NamedTuple):
    """A tokenised row with its image's mark once; labels are ids that are supervised, or `templates.IGNORED`.

    `visual` are the ids that the mark becomes, where they depend on the size of the image; else it is empty.
    """

    ids: Sequence[int]
    labels: Sequence[int]
    image: str | None
    visual: Sequence[int] = ()


class Images(Protocol):
    """How decoded images become what a model takes; `kept_bytes` is the memory that a prepared one takes."""

    @property
    def kept_bytes(self) -> int: ...

    def prepare(self, image: Image.Image) -> Image.Image:
        """Return an RGB image as the model is to see it: its part of the work that needs no tensor."""

    def blank(self) -> Image.Image:
        """Return a prepared image that shows nothing."""

    def tensors(self, prepared: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Return what the model takes beside the ids of the texts, by the names of its forward."""


class Family(ABC):
    """What differs from one family of models to the next. Models and processors are those of transformers."""

    by_size: ClassVar[bool] = False
    """Whether the ids that an image's mark becomes depend on the size of the image: `visual_ids` then says which."""

    # Checkpoints

    def join(self, tower: Path, llm: Path, projector: Projector, seed: int, out: Path) -> None:
        """Write to the empty `out` a checkpoint of a tower, a language model and a projector drawn from `seed`."""
        raise UserError("models of this family are not joined of a tower and a language model; start from a checkpoint")

    @abstractmethod
    def load(
        self, folder: Path, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Any, Any]:
        """Load a checkpoint as (model, processor) onto `device` (None: the CPU); `UserError` when it cannot be used.

        `dtype` None is float32 on the CPU, and the precision of its files elsewhere.
        """

    @abstractmethod
    def processor(self, config: Any, tokenizer: Any, image_aspect_ratio: str) -> Any:
        """Return the processor of a model that is trained on images made square so."""

    @abstractmethod
    def save(self, model: Any, processor: Any, folder: Path) -> None:
        """Write a checkpoint that transformers and vLLM load without this project."""

    # Checkpoints as their authors published them

    def recognises(self, config: Mapping[str, Any]) -> bool:
        """Whether a config.json is that of a checkpoint of this family in the layout of its authors."""
        return False

    def import_original(self, folder: Path, out: Path, find: Find) -> None:
        """Write a checkpoint in the layout of its authors, `folder`, to the empty folder `out` as `save` does.

        Weights keep their bytes. `find` gives checkpoints that this one names. A `UserError` names weights that are
        missing or unknown.
        """
        raise UserError(f"{folder}: checkpoints of this family have no other layout; use the folder as it is")

    def export_original(self, folder: Path, out: Path) -> None:
        """Write the checkpoint `folder` to the empty folder `out` in the layout of its authors."""
        raise UserError(f"{folder}: checkpoints of this family have no other layout; use the folder as it is")

    def export_for_vllm(self, folder: Path, out: Path) -> None:
        """Write the checkpoint `folder` to the empty folder `out` as vLLM loads it, where `folder` is not that."""
        raise UserError(f"{folder}: vLLM loads checkpoints of this family as they are, or not at all")

    # Texts and images

    @abstractmethod
    def encode_rows(self, rows: Iterable[Row], tokenizer: Any, template: str, longest: int) -> Iterator[Tokens | str]:
        """Yield for each LLaVA row its tokens, uncut, or the reason why nothing of it is supervised.

        `template` is that of the recipe; a row of which nothing is supervised within `longest` tokens is left out.
        """

    @abstractmethod
    def prompt_ids(
        self, tokenizer: Any, question: str, has_image: bool, system: str | None, image_tokens: int
    ) -> list[int]:
        """Return the ids that a model is asked to continue; `system` None is the sentence it was trained with."""

    @abstractmethod
    def later_question(self, rounds: Sequence[tuple[str, str]], question: str) -> str:
        """Return what `prompt_ids` takes as a question that follows `rounds` of questions and answers."""

    @abstractmethod
    def image_id(self, tokenizer: Any) -> int:
        """Return the id that stands for a visual token."""

    @abstractmethod
    def image_tokens(self, config: Any) -> int:
        """Return how many visual tokens an image becomes; 1 if `by_size`."""

    @abstractmethod
    def images(self, config: Any, image_aspect_ratio: str) -> Images:
        """Return how images become what a model takes."""

    # Where the checkpoint's own processor decides on images

    def trained_processor(self, config: Any, processor: Any, image_aspect_ratio: str) -> Any:
        """As `processor`, by the processor that `load` returned."""
        return self.processor(config, processor.tokenizer, image_aspect_ratio)

    def images_by(self, processor: Any, config: Any, image_aspect_ratio: str) -> Images:
        """As `images`, by the processor."""
        return self.images(config, image_aspect_ratio)

    def visual_ids(self, processor: Any, size: tuple[int, int]) -> Sequence[int]:
        """Return the ids that the mark of an image of `size` (width, height; pixels) becomes, if `by_size`."""
        raise NotImplementedError

    # Generation

    def generate(
        self, model: Any, processor: Any, inputs: Mapping[str, Tensor], limits: Sequence[int]
    ) -> list[list[int]] | None:
        """Continue prompts greedily: the new ids of each row, up to its end mark or its limit.

        `inputs` are ids, padded on the left, their mask, and what `Images.tensors` gives. None: the loop of
        `generation.local` does it, which counts positions as 0, 1, 2.
        """
        return None

    # Training

    @abstractmethod
    def part_of(self, parameter: str) -> Part:
        """Say which part of the model a parameter belongs to, by its name: each has a learning rate of its own."""

    @abstractmethod
    def set_trainable(self, model: Any, llm: bool, projector: bool, vit_from_layer: int | None) -> None:
        """Freeze all parameters but these; of the tower, train the layers from `vit_from_layer` up (None: none)."""

    @abstractmethod
    def hidden(self, model: Any, ids: Tensor, positions: Tensor, images: Mapping[str, Tensor] | None) -> Tensor:
        """Return the last hidden states of packed rows, of shape (rows, length, hidden).

        Samples of a row do not see each other: `positions` restart at 0 with each. Every parameter that learns takes
        part, also where there is no image.
        """

    # Cost, by the config

    @abstractmethod
    def training_flops(self, models: BaseModels, size: str, recipe: Recipe, text_tokens: float) -> float:
        """Return the operations of one row of training, an image with so many tokens of text."""

    def training_operations(self, config: Any, recipe: Recipe) -> Operations | None:
        """Return what training a loaded model costs, by its config; None: no formula is known."""
        return None

    @abstractmethod
    def prompt_tokens(self, models: BaseModels, text_tokens: float) -> float:
        """Return the tokens of a prompt: those of an image, and `text_tokens`."""

    @abstractmethod
    def reading_flops(self, models: BaseModels, size: str, text_tokens: float) -> float:
        """Return the operations of reading an image and so many tokens of text."""

    @abstractmethod
    def cache_bytes(self, models: BaseModels, size: str) -> float:
        """Return the bytes that the keys and values of one token take while a model writes (KV cache)."""

    @abstractmethod
    def weights(self, models: BaseModels, size: str, recipe: Recipe | None = None) -> float:
        """Return how many weights a model has, or how many of them a recipe trains."""


def family_named(name: str) -> Family:
    """Return a family, one of `FAMILIES`."""
    return cast(Family, importlib.import_module(f"sharegpt4v.{code_root(name)}").FAMILY)


def name_in(folder: Path) -> str:
    """Return the name of a checkpoint's family; `DEFAULT`, whose loader complains, where its config.json has none."""
    from sharegpt4v.files import read_json  # needs more than torch and transformers, as a training step does not

    config = folder / "config.json"
    found = read_json(config) if config.is_file() else {}
    name = found.get("model_type", DEFAULT) if isinstance(found, dict) else DEFAULT
    if known := _name_of(str(name)):
        return known
    raise UserError(
        f"{config}: model_type {name!r} is not supported; expected one of {', '.join(FAMILIES)}, or one that "
        "AutoModelForImageTextToText of the installed transformers knows"
    )


def family_of(model: Any) -> Family | None:
    """Return the family of a loaded model; None for a language model alone, which the same loop trains."""
    name = _name_of(model.config.model_type)
    return family_named(name) if name else None


@lru_cache
def _name_of(model_type: str) -> str | None:
    """Return the name of the family that has models of this type; None when there is none."""
    if model_type in FAMILIES:
        return model_type
    # Imports torch; whoever has such a checkpoint is about to.
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    return AUTO if model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES else None


def code_root(name: str) -> str:
    """Return the module of a family as `code_hash.code_of` takes it: what a model learns depends on its code."""
    return f"models.families.{name}"
