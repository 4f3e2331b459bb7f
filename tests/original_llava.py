"""LLaVA-1.5 as its authors lay it out: files, settings and all names of the 7B, with random weights of small widths."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from sentencepiece import SentencePieceTrainer
from torch import Tensor

from sharegpt4v.models.templates import prompt_text

PIECES = 384  # of Llama's 32,000
WIDTH, MLP, LAYERS, HEADS = 16, 24, 32, 2
VISION_WIDTH, VISION_MLP, VISION_LAYERS, VISION_HEADS = 128, 24, 24, 2
CLIP = "openai/clip-vit-large-patch14-336"
TUNED = "Lin-Chen/ShareGPT4V-7B_Pretrained_vit-large336-l12"

Weights = dict[str, Tensor]


@cache
def sentencepiece_model() -> bytes:
    """A `tokenizer.model` of Llama's kind: BPE, with pieces for all bytes and for runs of blanks."""
    texts = [
        prompt_text("What is it?", False),
        "A  red   circle  in    the\n     image.",
        "def f(x):\n        return x",
    ]
    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 20), model_writer=written, model_type="bpe", vocab_size=PIECES,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, minloglevel=2, num_threads=1,
    )  # fmt: skip
    return written.getvalue()


def language_shapes() -> dict[str, tuple[int, ...]]:
    """The names of liuhaotian/llava-v1.5-7b but for the projector's, with small shapes."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (PIECES, WIDTH)}
    for layer in range(LAYERS):
        place = f"model.layers.{layer}"
        shapes |= {f"{place}.self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
        shapes |= {f"{place}.mlp.{name}_proj.weight": (MLP, WIDTH) for name in ("gate", "up")}
        shapes |= {f"{place}.mlp.down_proj.weight": (WIDTH, MLP)}
        shapes |= {f"{place}.{name}_layernorm.weight": (WIDTH,) for name in ("input", "post_attention")}
    return shapes | {"model.norm.weight": (WIDTH,), "lm_head.weight": (PIECES, WIDTH)}


def projector_shapes() -> dict[str, tuple[int, ...]]:
    return {
        "model.mm_projector.0.weight": (WIDTH, VISION_WIDTH), "model.mm_projector.0.bias": (WIDTH,),
        "model.mm_projector.2.weight": (WIDTH, WIDTH), "model.mm_projector.2.bias": (WIDTH,),
    }  # fmt: skip


def tower_shapes() -> dict[str, tuple[int, ...]]:
    """The names of the image encoder of openai/clip-vit-large-patch14-336, with small shapes."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.class_embedding": (VISION_WIDTH,),
        "embeddings.patch_embedding.weight": (VISION_WIDTH, 3, 14, 14),
        "embeddings.position_embedding.weight": (577, VISION_WIDTH),
    }
    layer_shapes: dict[str, tuple[int, ...]] = {
        "mlp.fc1": (VISION_MLP, VISION_WIDTH),
        "mlp.fc2": (VISION_WIDTH, VISION_MLP),
    }
    layer_shapes |= {f"self_attn.{name}_proj": (VISION_WIDTH, VISION_WIDTH) for name in ("q", "k", "v", "out")}
    layer_shapes |= {f"layer_norm{number}": (VISION_WIDTH,) for number in (1, 2)}
    norms: dict[str, tuple[int, ...]] = dict.fromkeys(("pre_layrnorm", "post_layernorm"), (VISION_WIDTH,))
    for name, shape in norms.items() | {
        (f"encoder.layers.{layer}.{name}", shape)
        for layer in range(VISION_LAYERS)
        for name, shape in layer_shapes.items()
    }:
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return {f"vision_model.{name}": shape for name, shape in shapes.items()}


def drawn(shapes: dict[str, tuple[int, ...]], seed: int, dtype: torch.dtype) -> Weights:
    """Random weights; those of norms are near 1."""
    dice = torch.Generator().manual_seed(seed)
    return {
        name: (0.2 * torch.randn(shape, generator=dice) + ("norm" in name and name.endswith(".weight"))).to(dtype)
        for name, shape in sorted(shapes.items())
    }


def tuned(tower: Weights) -> Weights:
    """The tower as ShareGPT4V's training leaves it: layers 12 to 22 are other ones."""
    layers = tuple(f"vision_model.encoder.layers.{layer}." for layer in range(12, 23))
    return {name: weight + 0.125 if name.startswith(layers) else weight.clone() for name, weight in tower.items()}


def write_tower(folder: Path, weights: Weights) -> None:
    """A CLIP in a folder of its own, as ShareGPT4V's authors saved theirs with transformers 4.31."""
    folder.mkdir(parents=True)
    torch.save(weights, folder / "pytorch_model.bin")
    config = {
        "architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model", "hidden_size": VISION_WIDTH,
        "intermediate_size": VISION_MLP, "num_hidden_layers": VISION_LAYERS, "num_attention_heads": VISION_HEADS,
        "image_size": 336, "patch_size": 14, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 768,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))


def write_original(folder: Path, weights: Weights, files_of: str = "bin", **settings: Any) -> Path:
    """A LLaVA in its authors' layout, in two files; `settings` are other ones than those of llava-v1.5-7b."""
    folder.mkdir(parents=True)
    names = sorted(weights)
    placed: dict[str, str] = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), start=1):
        stem = "pytorch_model" if files_of == "bin" else "model"
        file = f"{stem}-{number:05d}-of-00002.{files_of}"
        placed |= dict.fromkeys(part, file)
        shard = {name: weights[name] for name in part}
        torch.save(shard, folder / file) if files_of == "bin" else save_file(shard, folder / file, {"format": "pt"})
    index = {"metadata": {"total_size": sum(weight.nbytes for weight in weights.values())}, "weight_map": placed}
    (folder / f"{stem}.{files_of}.index.json").write_text(json.dumps(index))
    config = {
        "_name_or_path": "llava-v1.5-7b", "architectures": ["LlavaLlamaForCausalLM"], "bos_token_id": 1,
        "eos_token_id": 2, "freeze_mm_mlp_adapter": False, "hidden_act": "silu", "hidden_size": WIDTH,
        "image_aspect_ratio": "pad", "initializer_range": 0.02, "intermediate_size": MLP, "max_length": 4096,
        "max_position_embeddings": 4096, "mm_hidden_size": VISION_WIDTH, "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": None, "mm_use_im_patch_token": False, "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2, "mm_vision_tower": CLIP,
        "model_type": "llava", "num_attention_heads": HEADS, "num_hidden_layers": LAYERS, "num_key_value_heads": HEADS,
        "pad_token_id": 0, "pretraining_tp": 1, "rms_norm_eps": 1e-5, "rope_scaling": None,
        "tie_word_embeddings": False, "torch_dtype": "float16", "tune_mm_mlp_adapter": False, "use_cache": True,
        "use_mm_proj": True, "vocab_size": PIECES,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | settings))
    (folder / "tokenizer.model").write_bytes(sentencepiece_model())
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.9, "top_p": 0.6, "max_length": 4096}))
    return folder


def llava_weights(dtype: torch.dtype = torch.float16) -> Weights:
    """The 327 tensors of the 7B's files, the computed ones among them in float32."""
    weights = drawn(language_shapes() | projector_shapes(), 0, dtype)
    computed = {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(4) for layer in range(LAYERS)}
    return weights | computed


def inside(tower: Weights) -> Weights:
    """A tower as re-saved checkpoints and SGLang have it in the file."""
    return {f"model.vision_tower.vision_tower.{name}": weight for name, weight in tower.items()}
