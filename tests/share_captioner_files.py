"""A Share-Captioner of a few thousand weights under all the names that are published, with a vocabulary like its own.

Every weight is drawn by numpy from the checksum of its name, so that whoever runs the authors' code has the same ones.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from sharegpt4v.models.share_captioner_text import BOT, END_OF_ANSWER, END_OF_HUMAN, USER

HIDDEN, MLP, LAYERS, HEADS = 64, 48, 2, 2
TOWER, TOWER_MLP, BLOCKS, PATCH, SIDE = 32, 40, 2, 7, 4
QUERIES, WIDTH = 4, 48
PIECES = 400
INSTRUCTION = "Analyze the image in a comprehensive and detailed manner."
ADDED = ("</box>", "</ref>", "<box>", "<ref>")
CONFIG = {
    "architectures": ["InternLMXComposerForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_InternLM_XComposer.InternLMXComposerForCausalLM"},
    "model_type": "InternLMXComposer",
    "vocab_size": PIECES + len(ADDED),
    "hidden_size": HIDDEN,
    "intermediate_size": MLP,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "kqvo_bias": True,
    "internlm_lora": None,
    "tie_word_embeddings": False,
}


def shapes() -> dict[str, tuple[int, ...]]:
    """The published names, with the shapes of the miniature."""
    found: dict[str, tuple[int, ...]] = {
        "flag_image_start": (1, 1, HIDDEN),
        "flag_image_end": (1, 1, HIDDEN),
        "visual_encoder.cls_token": (1, 1, TOWER),
        "visual_encoder.pos_embed": (1, 1 + SIDE**2, TOWER),
        "visual_encoder.patch_embed.proj.weight": (TOWER, 3, PATCH, PATCH),
        "visual_encoder.patch_embed.proj.bias": (TOWER,),
        "Qformer.query": (QUERIES, WIDTH),
        "Qformer.pos_embed": (QUERIES, WIDTH),
        "Qformer.kv_proj.weight": (WIDTH, TOWER),
        "Qformer.attn.in_proj_weight": (3 * WIDTH, WIDTH),
        "Qformer.attn.in_proj_bias": (3 * WIDTH,),
        "Qformer.attn.out_proj.weight": (WIDTH, WIDTH),
        "Qformer.attn.out_proj.bias": (WIDTH,),
        "internlm_proj.weight": (HIDDEN, WIDTH),
        "internlm_proj.bias": (HIDDEN,),
        "internlm_model.model.embed_tokens.weight": (PIECES + len(ADDED), HIDDEN),
        "internlm_model.model.norm.weight": (HIDDEN,),
        "internlm_model.lm_head.weight": (PIECES + len(ADDED), HIDDEN),
    }
    for norm in ("ln_q", "ln_kv", "ln_post"):
        found |= {f"Qformer.{norm}.weight": (WIDTH,), f"Qformer.{norm}.bias": (WIDTH,)}
    for number in range(BLOCKS):
        block = f"visual_encoder.blocks.{number}."
        for norm in ("norm1", "norm2"):
            found |= {f"{block}{norm}.weight": (TOWER,), f"{block}{norm}.bias": (TOWER,)}
        found |= {f"{block}attn.q_bias": (TOWER,), f"{block}attn.v_bias": (TOWER,)}
        found |= {f"{block}attn.qkv.weight": (3 * TOWER, TOWER)}
        for part, rows, columns in (
            ("attn.proj", TOWER, TOWER),
            ("mlp.fc1", TOWER_MLP, TOWER),
            ("mlp.fc2", TOWER, TOWER_MLP),
        ):
            found |= {f"{block}{part}.weight": (rows, columns), f"{block}{part}.bias": (rows,)}
    for number in range(LAYERS):
        layer = f"internlm_model.model.layers.{number}."
        for part in "qkvo":
            found |= {
                f"{layer}self_attn.{part}_proj.weight": (HIDDEN, HIDDEN),
                f"{layer}self_attn.{part}_proj.bias": (HIDDEN,),
            }
        found |= {f"{layer}mlp.gate_proj.weight": (MLP, HIDDEN), f"{layer}mlp.up_proj.weight": (MLP, HIDDEN)}
        found |= {f"{layer}mlp.down_proj.weight": (HIDDEN, MLP)}
        found |= {f"{layer}input_layernorm.weight": (HIDDEN,), f"{layer}post_attention_layernorm.weight": (HIDDEN,)}
        found |= {f"{layer}self_attn.rotary_emb.inv_freq": (HIDDEN // HEADS // 2,)}
    return found


def drawn(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Normal numbers that belong to a name: around one for the weights of norms, else around zero."""
    numbers = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    is_norm = "norm" in name or ".ln_" in name
    return (0.25 * numbers + (is_norm and name.endswith("weight"))).astype(np.float32)


def weights() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(drawn(name, shape)) for name, shape in shapes().items()}


def pixels() -> torch.Tensor:
    """Two images as the model takes them."""
    return torch.from_numpy(4 * drawn("pixels", (2, 3, SIDE * PATCH, SIDE * PATCH)))


def write_original(folder: Path, changes: dict[str, torch.Tensor | None] | None = None) -> Path:
    """Write the folder as it is published: two pickles with an index. `changes` replaces weights, None drops one."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor for name, tensor in {**weights(), **(changes or {})}.items() if tensor is not None}
    (folder / "config.json").write_text(json.dumps(CONFIG))
    names = sorted(tensors)
    index: dict[str, str] = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), start=1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: tensors[name] for name in part}, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    write_vocabulary(folder)
    return folder


def write_vocabulary(folder: Path, marks: tuple[str, ...] = (END_OF_HUMAN, END_OF_ANSWER)) -> SentencePieceProcessor:
    """Train a small sentencepiece model with `marks` as whole pieces; write it with its added tokens."""
    lines = [f"The image shows {number} cats, a dog and the sky. {INSTRUCTION} {USER} {BOT}" for number in range(99)]
    (folder / "text.txt").write_text("\n".join(lines))
    SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "tokenizer"), vocab_size=PIECES, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        user_defined_symbols=[*marks, "<TOKENS_UNUSED_10>"], minloglevel=2,
    )  # fmt: skip
    (folder / "added_tokens.json").write_text(json.dumps({text: PIECES + place for place, text in enumerate(ADDED)}))
    return SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
