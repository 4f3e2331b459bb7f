"""The published Share-Captioner, Lin-Chen/ShareCaptioner, to a checkpoint of this project and back (paper section 3.3).

Weights keep their bytes, under other names. The sizes of all parts are read from the weights themselves; only what no
weight shows comes from elsewhere: the heads and the epsilon of the language model from config.json, the heads of the
tower from EVA ViT-g (16).
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
from sharegpt4v.models.loading import refused_in_one_line
from sharegpt4v.models.share_captioner import ShareCaptioner, ShareCaptionerConfig
from sharegpt4v.models.share_captioner_text import read_tokenizer
from sharegpt4v.models.weight_files import tensors_of

TOWER_HEADS = 16
REPETITION_PENALTY = 1.5  # over what is generated, as the authors' script has it; greedy captions repeat without it
NAMES = {
    "internlm_model.": "language_model.",
    "internlm_proj.": "projection.",
    "flag_image_": "image_",
    "Qformer.": "resampler.",
    "visual_encoder.cls_token": "vision_tower.embeddings.class_embedding",
    "visual_encoder.pos_embed": "vision_tower.embeddings.position_embedding",
    "visual_encoder.patch_embed.proj.": "vision_tower.embeddings.patch_embedding.",
    "visual_encoder.blocks.#.norm": "vision_tower.encoder.layers.#.layer_norm",
    "visual_encoder.blocks.#.attn.qkv.": "vision_tower.encoder.layers.#.self_attn.qkv.",
    "visual_encoder.blocks.#.attn.proj.": "vision_tower.encoder.layers.#.self_attn.projection.",
    "visual_encoder.blocks.#.mlp.": "vision_tower.encoder.layers.#.mlp.",
}
"""The begins of the published names, and what stands for them here. Biases of queries and values are joined besides."""
BACK = {ours: published for published, ours in NAMES.items()}
NUMBER = re.compile(r"\.(\d+)\.")
BIAS = re.compile(r"visual_encoder\.blocks\.(\d+)\.attn\.([qv])_bias")


def import_original(folder: Path) -> tuple[ShareCaptioner, Any]:
    """Return the model and the tokenizer of a published folder; the tensors stay in its files until they are used.

    A `UserError` names weights that are missing, unknown or of another shape.
    """
    published = read_json(folder / "config.json")
    tokenizer = read_tokenizer(folder)
    with refused_in_one_line(folder):
        weights = renamed(dict(tensors_of(folder)), folder)
        config = config_of(weights, published, folder)
        with torch.device("meta"):
            model = ShareCaptioner(config)
        _expect_weights(folder, model.state_dict(), weights)
        model.load_state_dict(weights, assign=True)
        if len(tokenizer) != config.text_config.vocab_size:
            raise UserError(
                f"{folder}: a vocabulary of {len(tokenizer):,} tokens for {config.text_config.vocab_size:,} rows of "
                "the embedding; expected as many: is added_tokens.json there?"
            )
    return model, tokenizer


def renamed(weights: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Return published weights under the names of `ShareCaptioner`; tables of rotations, which follow, are left out."""
    ours: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if found := BIAS.fullmatch(name):
            block, part = found.groups()
            if part == "q":
                values = _of(weights, f"visual_encoder.blocks.{block}.attn.v_bias", folder)
                ours[f"vision_tower.encoder.layers.{block}.self_attn.qkv.bias"] = torch.cat(
                    [tensor, torch.zeros_like(tensor), values]  # keys have none
                )
        elif not name.endswith(".rotary_emb.inv_freq"):
            here = _renamed(name, NAMES)
            if here is None:
                raise UserError(f"{folder}: unknown weight {name}; expected those of Lin-Chen/ShareCaptioner")
            ours[here] = tensor
    return ours


def config_of(weights: Mapping[str, Tensor], published: Mapping[str, Any], folder: Path) -> ShareCaptionerConfig:
    """Return the sizes of a model with these weights, by our names."""
    embedding = _of(weights, "language_model.model.embed_tokens.weight", folder)
    patches = _of(weights, "vision_tower.embeddings.patch_embedding.weight", folder)
    positions = _of(weights, "vision_tower.embeddings.position_embedding", folder).shape[1] - 1
    query = _of(weights, "resampler.query", folder)
    text = {
        "vocab_size": embedding.shape[0],
        "hidden_size": embedding.shape[1],
        "intermediate_size": _of(weights, "language_model.model.layers.0.mlp.gate_proj.weight", folder).shape[0],
        "num_hidden_layers": _count(weights, "language_model.model.layers."),
        "num_attention_heads": published["num_attention_heads"],
        "rms_norm_eps": published["rms_norm_eps"],
        "max_position_embeddings": published["max_position_embeddings"],
        "attention_bias": True,
        "tie_word_embeddings": False,
    }
    vision = {
        "hidden_size": patches.shape[0],
        "intermediate_size": _of(weights, "vision_tower.encoder.layers.0.mlp.fc1.weight", folder).shape[0],
        "num_hidden_layers": _count(weights, "vision_tower.encoder.layers."),
        "num_attention_heads": TOWER_HEADS,
        "patch_size": patches.shape[-1],
        "image_size": int(positions**0.5) * patches.shape[-1],
    }
    return ShareCaptionerConfig(
        text_config=text,
        vision_config=vision,
        resampler_queries=query.shape[0],
        resampler_width=query.shape[1],
        image_token_id=embedding.shape[0],
        dtype=embedding.dtype,
    )


def export_original(model: ShareCaptioner, out: Path) -> None:
    """Write the weights of a model to `out` under their published names, as one file of safetensors, and the config."""
    from safetensors.torch import save_file

    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        published = _published(name)
        if published.endswith("attn.qkv.bias"):
            queries, _, values = tensor.chunk(3)
            begin = published.removesuffix("qkv.bias")
            weights |= {f"{begin}q_bias": queries.contiguous(), f"{begin}v_bias": values.contiguous()}
        else:
            weights[published] = tensor.contiguous()
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    text = model.config.text_config
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "rms_norm_eps", "max_position_embeddings")  # fmt: skip
    write_json(
        out / "config.json",
        {"architectures": ["InternLMXComposerForCausalLM"], "model_type": "InternLMXComposer", "kqvo_bias": True}
        | {name: getattr(text, name) for name in names},
    )


def _renamed(name: str, names: Mapping[str, str]) -> str | None:
    """Return a name with another begin, `#` standing for the number of a block; None when no begin fits."""
    number = found[1] if (found := NUMBER.search(name)) else ""
    plain = NUMBER.sub(".#.", name, count=1)
    for before, after in names.items():
        if plain.startswith(before):
            return (after + plain.removeprefix(before)).replace("#", number)
    return None


def _published(name: str) -> str:
    return _renamed(name, BACK) or name


def _of(weights: Mapping[str, Tensor], name: str, folder: Path) -> Tensor:
    if name not in weights:
        raise UserError(f"{folder}: lacks weight {_published(name)}; expected all those of Lin-Chen/ShareCaptioner")
    return weights[name]


def _count(weights: Mapping[str, Tensor], begin: str) -> int:
    return 1 + max(int(name.removeprefix(begin).partition(".")[0]) for name in weights if name.startswith(begin))


def _expect_weights(folder: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    for what, names in (("lacks", expected.keys() - found.keys()), ("unknown", found.keys() - expected.keys())):
        if names:
            first = min(map(_published, names))
            raise UserError(
                f"{folder}: {what} weight {first} ({len(names)} in all); expected those of Lin-Chen/ShareCaptioner"
            )
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            shape = tuple(found[name].shape)
            raise UserError(f"{folder}: {_published(name)} has the shape {shape}; expected {tuple(tensor.shape)}")
