"""LLaVA-1.5 and LLaVA-7B (paper section 4.1, figure 2): CLIP, a projector and Llama.

Every image becomes as many visual tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v.models import llava_flops
from sharegpt4v.models.family import Family, Find, Images, Part, Row, Tokens
from sharegpt4v.models.llava_original import NATIVE, is_original
from sharegpt4v.models.templates import IMAGE, later_question, prompt_ids, prompt_text

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sharegpt4v.config.base_models import BaseModels, Projector
    from sharegpt4v.config.training import Recipe
    from sharegpt4v.models.llava_flops import Operations


class Llava(Family):
    """The models that the paper trains."""

    def join(self, tower: Path, llm: Path, projector: Projector, seed: int, out: Path) -> None:
        from sharegpt4v.models.joining import draw_projector, join_llava

        join_llava(tower, llm, draw_projector(tower, llm, projector, seed), out)

    def load(
        self, folder: Path, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Any, Any]:
        from sharegpt4v.models.building import load_llava

        return load_llava(folder, device, dtype)

    def processor(self, config: Any, tokenizer: Any, image_aspect_ratio: str) -> Any:
        from sharegpt4v.models.building import processor_for

        return processor_for(config, tokenizer, image_aspect_ratio)

    def save(self, model: Any, processor: Any, folder: Path) -> None:
        from sharegpt4v.models.saving import save_llava

        save_llava(model, processor, folder)

    def recognises(self, config: Mapping[str, Any]) -> bool:
        return is_original(config) or NATIVE in (config.get("architectures") or [])

    def import_original(self, folder: Path, out: Path, find: Find) -> None:
        from sharegpt4v.models.llava_import import import_llava

        import_llava(folder, out, find)

    def export_original(self, folder: Path, out: Path) -> None:
        from sharegpt4v.models.llava_export import export_llava

        export_llava(folder, out)

    def export_for_vllm(self, folder: Path, out: Path) -> None:
        from sharegpt4v.models.linear_projector import export_for_vllm

        export_for_vllm(folder, out)

    def encode_rows(self, rows: Iterable[Row], tokenizer: Any, template: str, longest: int) -> Iterator[Tokens | str]:
        from sharegpt4v.models.llava_rows import encode_rows

        return encode_rows(rows, tokenizer, template, longest)

    def prompt_ids(
        self, tokenizer: Any, question: str, has_image: bool, system: str | None, image_tokens: int
    ) -> list[int]:
        return prompt_ids(tokenizer, prompt_text(question, has_image, system), image_tokens)

    def later_question(self, rounds: Sequence[tuple[str, str]], question: str) -> str:
        return later_question(rounds, question)

    def image_id(self, tokenizer: Any) -> int:
        return int(tokenizer.convert_tokens_to_ids(IMAGE))

    def image_tokens(self, config: Any) -> int:
        from sharegpt4v.models.building import image_token_count

        return image_token_count(config)

    def images(self, config: Any, image_aspect_ratio: str) -> Images:
        from sharegpt4v.models.pixels import Squares

        return Squares(int(config.vision_config.image_size), image_aspect_ratio)

    def part_of(self, parameter: str) -> Part:
        if "vision_tower" in parameter:
            return "tower"
        return "projector" if "multi_modal_projector" in parameter else "llm"

    def set_trainable(self, model: Any, llm: bool, projector: bool, vit_from_layer: int | None) -> None:
        from sharegpt4v.models.building import set_trainable

        set_trainable(model, llm, projector, vit_from_layer)

    def hidden(self, model: Any, ids: Tensor, positions: Tensor, images: Mapping[str, Tensor] | None) -> Tensor:
        from sharegpt4v.models.embedding import embed

        embedded = embed(model.model, ids, images["pixel_values"] if images else None)
        hidden: Tensor = model.model(inputs_embeds=embedded, position_ids=positions, use_cache=False).last_hidden_state
        return hidden

    def training_flops(self, models: BaseModels, size: str, recipe: Recipe, text_tokens: float) -> float:
        return llava_flops.training_row(models, size, recipe, text_tokens)

    def training_operations(self, config: Any, recipe: Recipe) -> Operations | None:
        return llava_flops.training_operations(*llava_flops.sizes_in(config), recipe)

    def prompt_tokens(self, models: BaseModels, text_tokens: float) -> float:
        return llava_flops.visual_tokens(models.vision_tower) + text_tokens

    def reading_flops(self, models: BaseModels, size: str, text_tokens: float) -> float:
        return llava_flops.reading_row(models, size, text_tokens)

    def cache_bytes(self, models: BaseModels, size: str) -> float:
        return llava_flops.cache_bytes(models.llm[size])

    def weights(self, models: BaseModels, size: str, recipe: Recipe | None = None) -> float:
        if recipe is None:
            return llava_flops.all_weights(models, size)
        return llava_flops.trained_weights(models, size, recipe)


FAMILY = Llava()
