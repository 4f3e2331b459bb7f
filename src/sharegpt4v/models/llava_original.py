"""LLaVA-1.5 and ShareGPT4V in the layout of their authors (paper section 4.1): the names of weights and settings.

That is the layout of liuhaotian/llava-v1.5-7b and Lin-Chen/ShareGPT4V-7B, and of what LLaVA's own code, SGLang and
VLMEvalKit load. Names are those of LLaVA at c121f04. `architectures` or `mm_vision_tower` identify a LLaVA: its
`model_type` may say llava, as that of transformers' own class does, or share4v, which transformers does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharegpt4v.errors import UserError

LLAVA, SHARE4V = "LlavaLlamaForCausalLM", "Share4VLlamaForCausalLM"
NATIVE = "LlavaForConditionalGeneration"
PLAIN_TOWERS = {(336, 14): "openai/clip-vit-large-patch14-336", (224, 14): "openai/clip-vit-large-patch14"}
"""CLIP's image encoders by their image and patch sizes, as `mm_vision_tower` names them."""

TOWER = "model.vision_tower.vision_tower."
PREFIXES = {  # the authors' names, and llava-hf's
    f"{TOWER}vision_model.": "vision_tower.vision_model.",
    "model.mm_projector.0.": "multi_modal_projector.linear_1.",
    "model.mm_projector.2.": "multi_modal_projector.linear_2.",
    "model.embed_tokens.": "language_model.model.embed_tokens.",
    "model.layers.": "language_model.model.layers.",
    "model.norm.": "language_model.model.norm.",
    "lm_head.": "language_model.lm_head.",
}
EMBEDDINGS = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")
COMPUTED = (".rotary_emb.inv_freq", ".embeddings.position_ids")  # buffers that older files hold; models make them

TEXT_SETTINGS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps",
    "bos_token_id", "eos_token_id", "pad_token_id", "rope_theta", "rope_scaling", "attention_bias", "attention_dropout",
)  # fmt: skip
EXPECTED = {  # of settings that other LLaVAs have otherwise
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_use_im_start_end": (False, None),
    "mm_resampler_type": (None,),
    "mm_vision_select_feature": ("patch", None),
    "mm_patch_merge_type": ("flat", None),
    "tie_word_embeddings": (False, None),
}


def is_original(settings: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a LLaVA in its authors' layout."""
    architectures = settings.get("architectures") or []
    return LLAVA in architectures or SHARE4V in architectures or "mm_vision_tower" in settings


def is_share4v(settings: Mapping[str, Any]) -> bool:
    """Whether a config.json is ShareGPT4V's, whose vision tower is tuned."""
    return SHARE4V in (settings.get("architectures") or []) or settings.get("model_type") == "share4v"


def check_original(settings: Mapping[str, Any], where: Path) -> None:
    """Refuse a LLaVA that is none of version 1.5; `where` is its config.json."""
    architectures = settings.get("architectures") or [LLAVA]
    if architectures[0] not in (LLAVA, SHARE4V):
        raise UserError(f"{where}: architectures {architectures[0]!r}; expected {LLAVA} or {SHARE4V}")
    if not isinstance(settings.get("mm_vision_tower"), str):
        raise UserError(f"{where}: no mm_vision_tower; expected the name of the vision tower")
    for key, expected in EXPECTED.items():
        if settings.get(key) not in expected:
            raise UserError(f"{where}: {key} is {settings.get(key)!r}; expected {expected[0]!r}, as in LLaVA-1.5")


def hub_name(name: str) -> str | None:
    """Return llava-hf's name of a weight in the authors' layout; None for one that is computed, not kept.

    A name that the layout does not have is returned as it is.
    """
    if name.endswith(COMPUTED):
        return None
    return _renamed(name, PREFIXES) or name


def original_name(name: str) -> str:
    """Return the authors' name of a weight in llava-hf's layout. `ValueError` for a name that this does not have."""
    renamed = _renamed(name, {hub: original for original, hub in PREFIXES.items()})
    if renamed is None:
        raise ValueError(f"{name}: not a weight of LLaVA")
    return renamed


def _renamed(name: str, prefixes: Mapping[str, str]) -> str | None:
    for prefix, other in prefixes.items():
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    return None


def config_of(settings: Mapping[str, Any], vision: Any, embeddings: int, image_id: int) -> Any:
    """Return transformers' LlavaConfig of a LLaVA, with a vision config and so many rows of embeddings."""
    from transformers import LlamaConfig, LlavaConfig

    text = {key: settings[key] for key in TEXT_SETTINGS if settings.get(key) is not None}
    return LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**text | {"vocab_size": embeddings, "tie_word_embeddings": False}),
        image_token_index=image_id,
        vision_feature_layer=settings.get("mm_vision_select_layer", -2),
        vision_feature_select_strategy="default",
        image_seq_length=(vision.image_size // vision.patch_size) ** 2,
        tie_word_embeddings=False,
    )


def settings_of(config: Any, vocabulary: int, image_aspect_ratio: str) -> dict[str, Any]:
    """Return the authors' config.json of a LlavaConfig whose vocabulary is so large; a `ValueError` says why not.

    It names CLIP's tower, for LLaVA's code and SGLang know no other. A tower in the file takes its place in both:
    SGLang always reads it, LLaVA's code where `unfreeze_mm_vision_tower` is true.
    """
    text, vision = config.text_config.to_dict(), config.vision_config
    rope = text.get("rope_parameters") or {}
    for key, found, expected in (
        ("rope_type", rope.get("rope_type", "default"), "default"),
        ("projector_hidden_act", config.projector_hidden_act, "gelu"),
        ("vision_feature_select_strategy", config.vision_feature_select_strategy, "default"),
    ):
        if found != expected:
            raise ValueError(f"{key} is {found!r}; expected {expected!r}, as in LLaVA-1.5")
    tower = PLAIN_TOWERS.get((vision.image_size, vision.patch_size))
    if tower is None:
        raise ValueError(f"no CLIP has images of {vision.image_size} pixels in patches of {vision.patch_size}")
    return {
        "architectures": [LLAVA],
        **{key: text[key] for key in TEXT_SETTINGS if text.get(key) is not None},
        "vocab_size": vocabulary,
        "rope_theta": rope.get("rope_theta", 10000.0),
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "max_length": text["max_position_embeddings"],
        "torch_dtype": str(config.dtype).removeprefix("torch."),
        "use_cache": True,
        "model_type": "llava",
        "freeze_mm_mlp_adapter": False,
        "image_aspect_ratio": image_aspect_ratio,
        "mm_hidden_size": vision.hidden_size,
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": None,
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": config.vision_feature_layer,
        "mm_vision_tower": tower,
        "tune_mm_mlp_adapter": False,
        "unfreeze_mm_vision_tower": True,
        "use_mm_proj": True,
    }
