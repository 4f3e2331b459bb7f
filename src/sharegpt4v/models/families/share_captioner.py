"""Share-Captioner as its authors published it (paper section 3.3): it writes captions, and is not trained here.

Its prompt is one turn of a user; `system` and earlier rounds have no place in it. Images are squashed to its square
whatever `image_aspect_ratio` says. Captions are greedy, with the repetition penalty of the authors' script; that script
itself samples with three beams, a penalty of 1.5 and at most 500 new tokens, so no two runs of it agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sharegpt4v.errors import UserError
from sharegpt4v.models import llava_flops
from sharegpt4v.models.family import Family, Find, Images, Part, Row, Tokens

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sharegpt4v.config.base_models import BaseModels, Transformer, VisionTower
    from sharegpt4v.config.training import Recipe

TOWER = {"hidden_size": 1408, "layers": 39, "heads": 16, "mlp_size": 6144, "image_size": 448, "patch_size": 14}
LLM = {"hidden_size": 4096, "layers": 32, "heads": 32, "mlp_size": 11008}
VOCABULARY, QUERIES = 103_172, 256


class ShareCaptionerFamily(Family):
    """Lin-Chen/ShareCaptioner, after its import."""

    def load(
        self, folder: Path, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Any, Any]:
        from sharegpt4v.models.share_captioner_folder import load

        return load(folder, device, dtype)

    def processor(self, config: Any, tokenizer: Any, image_aspect_ratio: str) -> Any:
        _not_trained()

    def save(self, model: Any, processor: Any, folder: Path) -> None:
        from sharegpt4v.models.share_captioner_folder import save

        save(model, processor.tokenizer, folder)

    def recognises(self, config: Mapping[str, Any]) -> bool:
        named = [*(config.get("architectures") or ()), *(config.get("auto_map") or {}).values()]
        return any(str(name).rpartition(".")[2] == "InternLMXComposerForCausalLM" for name in named)

    def import_original(self, folder: Path, out: Path, find: Find) -> None:
        from sharegpt4v.models.share_captioner_folder import save
        from sharegpt4v.models.share_captioner_import import import_original

        save(*import_original(folder), out)

    def export_original(self, folder: Path, out: Path) -> None:
        from sharegpt4v.models.loading import load_model
        from sharegpt4v.models.share_captioner import ShareCaptioner
        from sharegpt4v.models.share_captioner_import import export_original

        export_original(load_model(ShareCaptioner, folder), out)

    def export_for_vllm(self, folder: Path, out: Path) -> None:
        """Its language model alone, which takes prompts as embeddings."""
        from sharegpt4v.models.share_captioner_folder import export_llm

        export_llm(folder, out)

    def encode_rows(self, rows: Iterable[Row], tokenizer: Any, template: str, longest: int) -> Iterator[Tokens | str]:
        _not_trained()

    def prompt_ids(
        self, tokenizer: Any, question: str, has_image: bool, system: str | None, image_tokens: int
    ) -> list[int]:
        from sharegpt4v.models.share_captioner_text import prompt_ids

        if system is not None:
            raise UserError("Share-Captioner takes no system text: leave it out, or ask another model")
        return prompt_ids(tokenizer, question, image_tokens if has_image else 0)

    def later_question(self, rounds: Sequence[tuple[str, str]], question: str) -> str:
        if rounds:
            raise UserError("Share-Captioner holds no conversation: ask about the image in a new one")
        return question

    def image_id(self, tokenizer: Any) -> int:
        from sharegpt4v.models.share_captioner_text import image_id

        return image_id(tokenizer)

    def image_tokens(self, config: Any) -> int:
        from sharegpt4v.models.share_captioner import image_positions

        return image_positions(config)

    def images(self, config: Any, image_aspect_ratio: str) -> Images:
        from sharegpt4v.models.squashed import Squashed

        return Squashed(int(config.vision_config.image_size))

    def part_of(self, parameter: str) -> Part:
        if "vision_tower" in parameter:
            return "tower"
        return "llm" if "language_model" in parameter else "projector"

    def set_trainable(self, model: Any, llm: bool, projector: bool, vit_from_layer: int | None) -> None:
        _not_trained()

    def hidden(self, model: Any, ids: Tensor, positions: Tensor, images: Mapping[str, Tensor] | None) -> Tensor:
        _not_trained()

    def training_flops(self, models: BaseModels, size: str, recipe: Recipe, text_tokens: float) -> float:
        _not_trained()

    def prompt_tokens(self, models: BaseModels, text_tokens: float) -> float:
        return QUERIES + 2 + text_tokens

    def reading_flops(self, models: BaseModels, size: str, text_tokens: float) -> float:
        tower, llm = _published_sizes()
        seen, width = llava_flops.visual_tokens(tower) + 1, llm.hidden_size
        resampler = 2 * width * (seen * (tower.hidden_size + 2 * width) + QUERIES * (3 * width + 2 * seen))
        reading = llava_flops.llm_forward(llm, VOCABULARY, self.prompt_tokens(models, text_tokens))
        return llava_flops.tower_forward(tower) + resampler + reading

    def cache_bytes(self, models: BaseModels, size: str) -> float:
        return llava_flops.cache_bytes(_published_sizes()[1])

    def weights(self, models: BaseModels, size: str, recipe: Recipe | None = None) -> float:
        if recipe is not None:
            _not_trained()
        tower, llm = _published_sizes()
        between = tower.hidden_size * llm.hidden_size + 5 * llm.hidden_size**2
        embedding = VOCABULARY * llm.hidden_size
        return llava_flops.tower_weights(tower) + between + llava_flops.llm_weights(llm, VOCABULARY) + embedding


def _published_sizes() -> tuple[VisionTower, Transformer]:
    """Return the sizes of the tower and the LLM: as published, whatever the config says of models that are trained."""
    from sharegpt4v.config.base_models import Transformer, VisionTower

    return VisionTower.model_validate(TOWER), Transformer.model_validate(LLM)


def _not_trained() -> NoReturn:
    raise UserError(
        "Share-Captioner is used as it is published and not trained here; train a captioner of family llava"
    )


FAMILY = ShareCaptionerFamily()
