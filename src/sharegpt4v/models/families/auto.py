"""Any current family (Qwen2.5-VL, Qwen3-VL, LLaVA-OneVision, SmolVLM, InternVL and others): no paper, one file.

What differs among them is in their checkpoints and in transformers: the chat template, the processor, the forward. An
image becomes as many tokens as its size says. Questions can be asked of every family that
AutoModelForImageTextToText knows and whose processor puts marks, not text, around an image; trained are those that
can be packed, see `auto_model.PACKED`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sharegpt4v.errors import UserError
from sharegpt4v.models.family import Family, Images, Part, Row, Tokens

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sharegpt4v.config.base_models import BaseModels
    from sharegpt4v.config.training import Recipe


class Auto(Family):
    """A checkpoint as transformers saves it, whose own files say all about it."""

    by_size = True

    def load(
        self, folder: Path, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Any, Any]:
        from transformers import AutoModelForImageTextToText

        from sharegpt4v.models.auto_images import ProcessorImages
        from sharegpt4v.models.auto_model import greedy
        from sharegpt4v.models.auto_processor import load_processor
        from sharegpt4v.models.loading import load_model, precision_on, refused_in_one_line

        processor = load_processor(folder)
        model = load_model(AutoModelForImageTextToText, folder, device, dtype or precision_on(device))
        with refused_in_one_line(folder):
            model.generation_config = greedy(model, processor.tokenizer)
            images = ProcessorImages(processor)
            model.blank_image = images.tensors([images.blank()])  # for rows without one, see `hidden`
        return model, processor

    def processor(self, config: Any, tokenizer: Any, image_aspect_ratio: str) -> NoReturn:
        raise NotImplementedError("`trained_processor` is that of the checkpoint")

    def trained_processor(self, config: Any, processor: Any, image_aspect_ratio: str) -> Any:
        """Return the processor of the checkpoint, which decides on the shape of images."""
        from sharegpt4v.models.auto_model import PACKED

        if config.model_type not in PACKED:
            raise UserError(
                f"a model of type {config.model_type} is not trained: samples packed into a row would see each other, "
                f"or it is untried; expected one of {', '.join(PACKED)}"
            )
        return processor

    def save(self, model: Any, processor: Any, folder: Path) -> None:
        model.save_pretrained(folder, max_shard_size="50GB")
        processor.save_pretrained(folder)

    def encode_rows(self, rows: Iterable[Row], tokenizer: Any, template: str, longest: int) -> Iterator[Tokens | str]:
        from sharegpt4v.models.auto_rows import encode_rows

        return encode_rows(rows, tokenizer, template, longest)

    def prompt_ids(
        self, tokenizer: Any, question: str, has_image: bool, system: str | None, image_tokens: int
    ) -> list[int]:
        from sharegpt4v.models.auto_rows import prompt_ids

        return prompt_ids(tokenizer, question, has_image, system)

    def later_question(self, rounds: Sequence[tuple[str, str]], question: str) -> str:
        from sharegpt4v.models.auto_rows import later_question

        return later_question(rounds, question)

    def image_id(self, tokenizer: Any) -> int:
        return int(tokenizer.convert_tokens_to_ids(tokenizer.image_token))

    def image_tokens(self, config: Any) -> int:
        return 1

    def images(self, config: Any, image_aspect_ratio: str) -> NoReturn:
        raise NotImplementedError("`images_by` makes them by the processor of the checkpoint")

    def images_by(self, processor: Any, config: Any, image_aspect_ratio: str) -> Images:
        from sharegpt4v.models.auto_images import ProcessorImages

        return ProcessorImages(processor)

    def visual_ids(self, processor: Any, size: tuple[int, int]) -> Sequence[int]:
        from sharegpt4v.models.auto_images import visual_ids

        return visual_ids(processor, size)

    def generate(
        self, model: Any, processor: Any, inputs: Mapping[str, Tensor], limits: Sequence[int]
    ) -> list[list[int]]:
        from sharegpt4v.models.auto_model import generate

        return generate(model, processor, inputs, limits)

    def part_of(self, parameter: str) -> Part:
        from sharegpt4v.models.auto_model import part_of

        return part_of(parameter)

    def set_trainable(self, model: Any, llm: bool, projector: bool, vit_from_layer: int | None) -> None:
        from sharegpt4v.models.auto_model import set_trainable

        set_trainable(model, llm, projector, vit_from_layer)

    def hidden(self, model: Any, ids: Tensor, positions: Tensor, images: Mapping[str, Tensor] | None) -> Tensor:
        from sharegpt4v.models.auto_model import hidden

        found: Tensor = hidden(model, ids, positions, images)
        return found

    def training_flops(self, models: BaseModels, size: str, recipe: Recipe, text_tokens: float) -> float:
        raise UserError(NO_PLAN)

    def prompt_tokens(self, models: BaseModels, text_tokens: float) -> float:
        raise UserError(NO_PLAN)

    def reading_flops(self, models: BaseModels, size: str, text_tokens: float) -> float:
        raise UserError(NO_PLAN)

    def cache_bytes(self, models: BaseModels, size: str) -> float:
        raise UserError(NO_PLAN)

    def weights(self, models: BaseModels, size: str, recipe: Recipe | None = None) -> float:
        raise UserError(NO_PLAN)


NO_PLAN = "the cost of a model of this family is not known before it is there; the plan leaves it out"
FAMILY = Auto()
