"""Floating-point operations and weights of Qwen-VL-Chat, counted as `models.llava_flops` does for LLaVA."""

from __future__ import annotations

from sharegpt4v.config.base_models import Transformer
from sharegpt4v.config.training import Recipe
from sharegpt4v.models.llava_flops import llm_forward, llm_weights

LLM, VOCABULARY = Transformer(hidden_size=4096, layers=32, heads=32, mlp_size=11008), 151_936
TOWER = Transformer(hidden_size=1664, layers=48, heads=16, mlp_size=8192)
PATCHES, QUERIES = (448 // 14) ** 2, 256


def training_row(recipe: Recipe, text_tokens: float) -> float:
    """Operations of one row of training: an image with so many tokens of text, cut to the recipe's length."""
    tokens = QUERIES + min(text_tokens, recipe.sequence_length - 1)
    share = 0.0 if recipe.tune_vit_from_layer is None else 1 - recipe.tune_vit_from_layer / TOWER.layers
    return (
        llm_forward(LLM, VOCABULARY, tokens) * (3 if recipe.train_llm else 2)
        + _resampler_forward() * (3 if recipe.train_projector else 2)
        + _tower_forward() * (1 + 2 * share)
    )


def reading_row(prompt_tokens: float) -> float:
    """Operations of reading an image and a prompt."""
    return _tower_forward() + _resampler_forward() + llm_forward(LLM, VOCABULARY, QUERIES + prompt_tokens)


def weights(recipe: Recipe | None) -> float:
    """All weights in matrices, or those that a recipe trains."""
    llm = llm_weights(LLM, VOCABULARY) + VOCABULARY * LLM.hidden_size
    tower = TOWER.layers * _block_weights() + LLM.hidden_size**2  # `proj` is frozen with the tower
    resampler = _resampler_weights() + 2 * QUERIES * LLM.hidden_size
    if recipe is None:
        return llm + tower + resampler
    first = TOWER.layers if recipe.tune_vit_from_layer is None else recipe.tune_vit_from_layer
    trained = llm * recipe.train_llm + resampler * recipe.train_projector
    return trained + (TOWER.layers - min(first, TOWER.layers)) * _block_weights()


def _block_weights() -> int:
    return 4 * TOWER.hidden_size**2 + 2 * TOWER.hidden_size * TOWER.mlp_size


def _resampler_weights() -> int:
    return TOWER.hidden_size * LLM.hidden_size + 4 * LLM.hidden_size**2


def _tower_forward() -> float:
    """One image through the tower; all patches attend to each other."""
    return TOWER.layers * (2 * _block_weights() * PATCHES + 4 * TOWER.hidden_size * PATCHES**2)


def _resampler_forward() -> float:
    """Keys and values of the patches, queries, attention between them, the two products after it."""
    width = LLM.hidden_size
    patches = 2 * PATCHES * (TOWER.hidden_size * width + 2 * width**2)
    return patches + 2 * QUERIES * 3 * width**2 + 4 * width * PATCHES * QUERIES
