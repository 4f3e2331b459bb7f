"""Between the layout of Qwen/Qwen-VL-Chat and ours: names of weights, sizes in config.json, the vocabulary.

The language half has the names of Qwen2 here: `c_attn` is its query, key and value one below the other, and of the two
halves of the feed-forward part Qwen's `w2` is the gate. The vision half keeps its names, and all weights their bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.models.loading import load_part, refused_in_one_line
from sharegpt4v.models.qwen_vl.chatml import CHAT_TEMPLATE
from sharegpt4v.models.qwen_vl.folder import greedy_settings, processor_for
from sharegpt4v.models.qwen_vl.modeling import QwenVL, QwenVLConfig
from sharegpt4v.models.qwen_vl.tokenizer import FILE, IMAGE, LONGEST, VISUAL, read_tiktoken, write_tiktoken
from sharegpt4v.models.weight_files import tensors_of

ARCHITECTURE = "QWenLMHeadModel"
SHARD = "5GB"
RENAMED = (
    (r"visual\.", "transformer.visual."),
    (r"language_model\.lm_head\.", "lm_head."),
    (r"language_model\.model\.embed_tokens\.", "transformer.wte."),
    (r"language_model\.model\.norm\.", "transformer.ln_f."),
    (r"language_model\.model\.layers\.(\d+)\.input_layernorm\.", r"transformer.h.\1.ln_1."),
    (r"language_model\.model\.layers\.(\d+)\.post_attention_layernorm\.", r"transformer.h.\1.ln_2."),
    (r"language_model\.model\.layers\.(\d+)\.self_attn\.[qkv]_proj\.", r"transformer.h.\1.attn.c_attn."),
    (r"language_model\.model\.layers\.(\d+)\.self_attn\.o_proj\.", r"transformer.h.\1.attn.c_proj."),
    (r"language_model\.model\.layers\.(\d+)\.mlp\.gate_proj\.", r"transformer.h.\1.mlp.w2."),
    (r"language_model\.model\.layers\.(\d+)\.mlp\.up_proj\.", r"transformer.h.\1.mlp.w1."),
    (r"language_model\.model\.layers\.(\d+)\.mlp\.down_proj\.", r"transformer.h.\1.mlp.c_proj."),
)
"""What a name begins with here, and there."""

THEIRS: Mapping[str, Any] = {
    "architectures": [ARCHITECTURE], "model_type": "qwen", "tokenizer_type": "QWenTokenizer",
    "auto_map": {
        "AutoConfig": "configuration_qwen.QWenConfig", "AutoModelForCausalLM": "modeling_qwen.QWenLMHeadModel",
    },
    "no_bias": True, "rotary_pct": 1.0, "tie_word_embeddings": False,
    "bf16": False, "fp16": False, "fp32": False, "use_flash_attn": False, "use_cache": True,
    "use_dynamic_ntk": True, "use_logn_attn": True, "scale_attn_weights": True, "onnx_safe": None,
    "attn_dropout_prob": 0.0, "emb_dropout_prob": 0.0, "initializer_range": 0.02, "max_position_embeddings": 8192,
}  # fmt: skip
"""What config.json says there of every Qwen-VL, beside its sizes."""

FIXED = ("no_bias", "rotary_pct", "tie_word_embeddings")  # of these, what the model computes with


def import_original(folder: Path, out: Path) -> None:
    """Write the checkpoint `folder`, as Qwen released it, to the empty folder `out` in our layout.

    A `UserError` when a file is missing or broken, and by name when a weight is missing, unknown or of another shape.
    """
    tokenizer = read_tiktoken(folder / FILE, CHAT_TEMPLATE)
    with refused_in_one_line(folder):
        config = _config_of(read_json(folder / "config.json"), tokenizer, folder)
        weights = _ours(dict(tensors_of(folder)), config, folder)
        config.dtype = next(iter(weights.values())).dtype
        _write(weights, out)
        config.save_pretrained(out)
        greedy_settings(tokenizer, config.text_config.vocab_size).save_pretrained(out)
        processor_for(config, tokenizer).save_pretrained(out)


def export_original(folder: Path, out: Path) -> None:
    """Write our checkpoint `folder` to the empty folder `out` as Qwen released it, but for Qwen's Python files.

    Copy those there to load it by Qwen's own code.
    """
    from transformers import AutoTokenizer

    config, tokenizer = load_part(QwenVLConfig, folder), load_part(AutoTokenizer, folder)
    with refused_in_one_line(folder):
        weights = dict(tensors_of(folder))
        _write({theirs: torch.cat([weights[name] for name in ours]) for theirs, ours in _names(config).items()}, out)
    write_tiktoken(tokenizer, out / FILE)
    write_json(out / "config.json", _settings_of(config, tokenizer))
    end = tokenizer.pad_token_id
    chat = {"chat_format": "chatml", "max_window_size": 6144, "max_new_tokens": 512, "eos_token_id": end}
    sampling = {"do_sample": True, "top_k": 0, "top_p": 0.3, "pad_token_id": end}
    write_json(out / "generation_config.json", chat | sampling)
    kind = {
        "tokenizer_class": "QWenTokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_qwen.QWenTokenizer", None]},
    }
    write_json(out / "tokenizer_config.json", {"model_max_length": 8192} | kind)


def _config_of(settings: Mapping[str, Any], tokenizer: Any, folder: Path) -> QwenVLConfig:
    """Return our config of theirs; a `UserError` for one that Qwen2 would not compute, or of another vocabulary."""
    for key in FIXED:
        if settings.get(key, THEIRS[key]) != THEIRS[key]:
            raise UserError(
                f"{folder}/config.json: {key} is {settings[key]}; expected {THEIRS[key]}, as in Qwen-VL-Chat"
            )
    visual, image_id = settings["visual"], tokenizer.convert_tokens_to_ids(IMAGE)
    if visual["image_start_id"] != image_id or settings["vocab_size"] < len(tokenizer):
        raise UserError(
            f"{folder}/config.json: image_start_id is {visual['image_start_id']} of {settings['vocab_size']} ids, in "
            f"{FILE} {IMAGE} is {image_id} of {len(tokenizer)}; expected files of one checkpoint"
        )
    text = {
        "vocab_size": settings["vocab_size"],
        "hidden_size": settings["hidden_size"],
        "intermediate_size": settings["intermediate_size"] // 2,
        "num_hidden_layers": settings["num_hidden_layers"],
        "num_attention_heads": settings["num_attention_heads"],
        "num_key_value_heads": settings["num_attention_heads"],
        "max_position_embeddings": settings.get("seq_length", LONGEST),
        "rms_norm_eps": settings["layer_norm_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": float(settings["rotary_emb_base"])},
    }
    vision = {
        "image_size": visual["image_size"],
        "patch_size": visual["patch_size"],
        "hidden_size": visual["width"],
        "num_hidden_layers": visual["layers"],
        "num_attention_heads": visual["heads"],
        "intermediate_size": int(visual["width"] * visual["mlp_ratio"]),
        "output_size": visual["output_dim"],
        "queries": visual.get("n_queries", 256),
    }
    return QwenVLConfig(
        text_config=text, vision_config=vision, image_token_id=tokenizer.convert_tokens_to_ids(VISUAL),
        architectures=[QwenVL.__name__],
    )  # fmt: skip


def _settings_of(config: Any, tokenizer: Any) -> dict[str, Any]:
    """Return their config.json of our config."""
    text, vision = config.text_config, config.vision_config
    visual = {
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "width": vision.hidden_size,
        "layers": vision.num_hidden_layers,
        "heads": vision.num_attention_heads,
        # Four digits, as theirs: the width inside is the product, rounded down.
        "mlp_ratio": -(-vision.intermediate_size * 10_000 // vision.hidden_size) / 10_000,
        "output_dim": vision.output_size,
        "image_start_id": tokenizer.convert_tokens_to_ids(IMAGE),
    }
    if vision.queries != 256:
        visual["n_queries"] = vision.queries
    return {
        **THEIRS,
        "torch_dtype": str(config.dtype).removeprefix("torch."),
        "vocab_size": text.vocab_size,
        "hidden_size": text.hidden_size,
        "intermediate_size": 2 * text.intermediate_size,
        "num_hidden_layers": text.num_hidden_layers,
        "num_attention_heads": text.num_attention_heads,
        "kv_channels": text.hidden_size // text.num_attention_heads,
        "seq_length": text.max_position_embeddings,
        "layer_norm_epsilon": text.rms_norm_eps,
        "rotary_emb_base": int(text.rope_parameters["rope_theta"]),
        "visual": visual,
    }


def _names(config: QwenVLConfig) -> dict[str, list[str]]:
    """Return the names of all weights there, each with the names of what it holds here, in their order."""
    with torch.device("meta"):
        ours = list(QwenVL(config).state_dict())
    found: dict[str, list[str]] = {}
    for name in ours:
        pattern, theirs = next(rule for rule in RENAMED if re.match(rule[0], name))
        found.setdefault(re.sub(f"^{pattern}", theirs, name), []).append(name)
    return found


def _ours(weights: dict[str, Tensor], config: QwenVLConfig, folder: Path) -> dict[str, Tensor]:
    """Return their weights by our names."""
    names = _names(config)
    with torch.device("meta"):
        expected = QwenVL(config).state_dict()
    for what, wrong in (("lacks the weights", names.keys() - weights), ("has unknown weights", weights.keys() - names)):
        if wrong:
            raise UserError(f"{folder}: {what}: {min(wrong)} ({len(wrong)} in all); expected those of a Qwen-VL")
    found: dict[str, Tensor] = {}
    for theirs, ours in names.items():
        parts = weights[theirs].chunk(len(ours))
        for name, part in zip(ours, parts, strict=True):
            if part.shape != expected[name].shape:
                shape = list(weights[theirs].shape)
                raise UserError(f"{folder}: {theirs} is of shape {shape}; expected what its config.json says")
            found[name] = part.clone() if len(ours) > 1 else part  # a file holds no two views of one tensor
    return found


def _write(weights: Mapping[str, Tensor], out: Path) -> None:
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(dict(weights), out, max_shard_size=SHARD)
