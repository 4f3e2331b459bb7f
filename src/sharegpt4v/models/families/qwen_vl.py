"""Qwen-VL-Chat-7B, whose equal substitution the paper reports (figure 2): trained on from its released checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharegpt4v.models.family import Family, Find, Images, Part, Row, Tokens
from sharegpt4v.models.llava_flops import cache_bytes
from sharegpt4v.models.qwen_vl import cost

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sharegpt4v.config.base_models import BaseModels
    from sharegpt4v.config.training import Recipe


class QwenVLChat(Family):
    """Checkpoints that `import_original` made of Qwen/Qwen-VL-Chat, and those trained from them."""

    def load(
        self, folder: Path, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Any, Any]:
        from sharegpt4v.models.qwen_vl.folder import load

        return load(folder, device, dtype)

    def processor(self, config: Any, tokenizer: Any, image_aspect_ratio: str) -> Any:
        """The one processor that there is: images are squashed, whatever `image_aspect_ratio` says."""
        from sharegpt4v.models.qwen_vl.folder import processor_for

        return processor_for(config, tokenizer)

    def save(self, model: Any, processor: Any, folder: Path) -> None:
        """Write a checkpoint whose processor anyone loads, and whose weights this project loads."""
        from sharegpt4v.models.qwen_vl.folder import save

        save(model, processor, folder)

    def recognises(self, config: Mapping[str, Any]) -> bool:
        return config.get("architectures") == ["QWenLMHeadModel"] and isinstance(config.get("visual"), dict)

    def import_original(self, folder: Path, out: Path, find: Find) -> None:
        from sharegpt4v.models.qwen_vl.original import import_original

        import_original(folder, out)

    def export_original(self, folder: Path, out: Path) -> None:
        from sharegpt4v.models.qwen_vl.original import export_original

        export_original(folder, out)

    def encode_rows(self, rows: Iterable[Row], tokenizer: Any, template: str, longest: int) -> Iterator[Tokens | str]:
        from sharegpt4v.models.qwen_vl.chatml import encode_rows

        return encode_rows(rows, tokenizer, template, longest)

    def prompt_ids(
        self, tokenizer: Any, question: str, has_image: bool, system: str | None, image_tokens: int
    ) -> list[int]:
        from sharegpt4v.models.qwen_vl.chatml import prompt_ids

        return prompt_ids(tokenizer, question, has_image, system, image_tokens)

    def later_question(self, rounds: Sequence[tuple[str, str]], question: str) -> str:
        from sharegpt4v.models.qwen_vl.chatml import later_question

        return later_question(rounds, question)

    def image_id(self, tokenizer: Any) -> int:
        from sharegpt4v.models.qwen_vl.tokenizer import VISUAL

        return int(tokenizer.convert_tokens_to_ids(VISUAL))

    def image_tokens(self, config: Any) -> int:
        return int(config.vision_config.queries)

    def images(self, config: Any, image_aspect_ratio: str) -> Images:
        from sharegpt4v.models.squashed import Squashed

        return Squashed(int(config.vision_config.image_size))

    def part_of(self, parameter: str) -> Part:
        """The resampler stands for LLaVA's projector; what comes after it is frozen with the tower."""
        if "visual.attn_pool." in parameter:
            return "projector"
        return "tower" if "visual." in parameter else "llm"

    def set_trainable(self, model: Any, llm: bool, projector: bool, vit_from_layer: int | None) -> None:
        """As finetune.py does: with the resampler its positions learn, and the layers after it do not."""
        model.requires_grad_(False)
        model.language_model.requires_grad_(llm)
        model.visual.attn_pool.requires_grad_(projector)
        if vit_from_layer is not None:
            model.visual.transformer["resblocks"][vit_from_layer:].requires_grad_(True)

    def hidden(self, model: Any, ids: Tensor, positions: Tensor, images: Mapping[str, Tensor] | None) -> Tensor:
        pixels = images["pixel_values"].to(model.dtype) if images else None
        hidden: Tensor = model.hidden(ids, positions, pixels)
        return hidden

    def training_flops(self, models: BaseModels, size: str, recipe: Recipe, text_tokens: float) -> float:
        return cost.training_row(recipe, text_tokens)

    def prompt_tokens(self, models: BaseModels, text_tokens: float) -> float:
        return cost.QUERIES + text_tokens

    def reading_flops(self, models: BaseModels, size: str, text_tokens: float) -> float:
        return cost.reading_row(text_tokens)

    def cache_bytes(self, models: BaseModels, size: str) -> float:
        return cache_bytes(cost.LLM)

    def weights(self, models: BaseModels, size: str, recipe: Recipe | None = None) -> float:
        return cost.weights(recipe)


FAMILY = QwenVLChat()
