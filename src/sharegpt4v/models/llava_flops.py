"""Floating-point operations of the models, per row: matrix products and attention, a multiply-add counted as two.

A forward pass costs two operations per weight and token; the backward pass as much again for the gradients of what
comes in, and once more for those of the weights, where these are trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sharegpt4v.config.base_models import BaseModels, Transformer, VisionTower
    from sharegpt4v.config.training import Recipe


class Operations(NamedTuple):
    """What training on samples costs: so much per token, per square of a sample's tokens (attention), and per image."""

    token: float
    squared_tokens: float
    image: float

    def of(self, tokens: float, squared_tokens: float, images: float) -> float:
        """Return the operations of samples by the sums of their tokens, of their squares, and of their images."""
        return self.token * tokens + self.squared_tokens * squared_tokens + self.image * images


def llm_weights(llm: Transformer, vocabulary: int) -> int:
    """Weights of a Llama in matrix products: all but its embedding."""
    block = 4 * llm.hidden_size**2 + 3 * llm.hidden_size * llm.mlp_size
    return llm.layers * block + vocabulary * llm.hidden_size


def tower_weights(tower: VisionTower) -> int:
    """Weights of a CLIP's encoder blocks."""
    return tower.layers * (4 * tower.hidden_size**2 + 2 * tower.hidden_size * tower.mlp_size)


def projector_weights(models: BaseModels, size: str) -> int:
    """Weights of the projector's layers: one or two. The identity behind a linear projector is none of the model."""
    width = models.llm[size].hidden_size
    return width * (models.vision_tower.hidden_size + (width if models.projector_type == "mlp2x_gelu" else 0))


def visual_tokens(tower: VisionTower) -> int:
    """Visual tokens of one image."""
    return (tower.image_size // tower.patch_size) ** 2


def trained_blocks(tower: VisionTower, first: int | None) -> int:
    """Blocks of the tower that learn: from `first` on, but the last, whose output is not used."""
    return 0 if first is None else max(0, tower.layers - 1 - first)


def llm_forward(llm: Transformer, vocabulary: int, tokens: float) -> float:
    """A forward pass over a row of so many tokens; each attends to those before it."""
    return tokens * (2 * llm_weights(llm, vocabulary) + 2 * llm.layers * llm.hidden_size * tokens)


def tower_forward(tower: VisionTower) -> float:
    """A forward pass over one image; all patches and the class token attend to each other."""
    tokens = visual_tokens(tower) + 1
    return 2 * tower_weights(tower) * tokens + 4 * tower.layers * tower.hidden_size * tokens**2


def training_operations(
    tower: VisionTower, llm: Transformer, vocabulary: int, projector: int, recipe: Recipe
) -> Operations:
    """What a recipe's training costs, with so many weights in the `projector`. Nothing is counted for padding."""
    passes = 3 if recipe.train_llm else 2
    share = trained_blocks(tower, recipe.tune_vit_from_layer) / tower.layers
    projected = 2 * visual_tokens(tower) * projector * (3 if recipe.train_projector else 2)
    return Operations(
        token=passes * 2 * llm_weights(llm, vocabulary),
        squared_tokens=passes * 2 * llm.layers * llm.hidden_size,
        image=projected + tower_forward(tower) * (1 + 2 * share),
    )


def training_row(models: BaseModels, size: str, recipe: Recipe, text_tokens: float) -> float:
    """Operations of one row of training: an image with so many tokens of text, cut to the recipe's length."""
    tower, llm, vocabulary = models.vision_tower, models.llm[size], models.tokenizer.vocabulary
    tokens = visual_tokens(tower) + min(text_tokens, recipe.sequence_length - 1)
    operations = training_operations(tower, llm, vocabulary, projector_weights(models, size), recipe)
    return operations.of(tokens, tokens**2, images=1)


def reading_row(models: BaseModels, size: str, prompt_tokens: float) -> float:
    """Operations of reading an image and a prompt."""
    tower, llm, vocabulary = models.vision_tower, models.llm[size], models.tokenizer.vocabulary
    return tower_forward(tower) + llm_forward(llm, vocabulary, visual_tokens(tower) + prompt_tokens)


def cache_bytes(llm: Transformer) -> int:
    """Bytes that the keys and values of one token take in bfloat16 (KV cache), without grouped heads."""
    return 2 * llm.layers * llm.hidden_size * 2


def trained_weights(models: BaseModels, size: str, recipe: Recipe) -> float:
    """Weights that a recipe trains, all parts together."""
    tower, llm = models.vision_tower, models.llm[size]
    embedding = models.tokenizer.vocabulary * llm.hidden_size
    weights = (llm_weights(llm, models.tokenizer.vocabulary) + embedding) * recipe.train_llm
    weights += tower_weights(tower) * trained_blocks(tower, recipe.tune_vit_from_layer) // tower.layers
    return weights + projector_weights(models, size) * recipe.train_projector


def all_weights(models: BaseModels, size: str) -> int:
    """Weights of a whole LLaVA."""
    llm, tower = models.llm[size], models.vision_tower
    embedding = models.tokenizer.vocabulary * llm.hidden_size
    weights = llm_weights(llm, models.tokenizer.vocabulary) + embedding
    return weights + tower_weights(tower) + projector_weights(models, size)


def sizes_in(config: Any) -> tuple[VisionTower, Transformer, int, int]:
    """Return tower, language model, vocabulary and the projector's weights by the config of a loaded LLaVA."""
    from sharegpt4v.config.base_models import Transformer, VisionTower

    vision, text = config.vision_config, config.text_config
    tower = VisionTower(**_sizes(vision), image_size=vision.image_size, patch_size=vision.patch_size)
    llm = Transformer(**_sizes(text))
    layers = 1 if config.projector_hidden_act == "linear" else 2
    projector = llm.hidden_size * (tower.hidden_size + (layers - 1) * llm.hidden_size)
    return tower, llm, text.vocab_size, projector


def _sizes(config: Any) -> dict[str, Any]:
    return {
        "hidden_size": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "mlp_size": config.intermediate_size,
    }
