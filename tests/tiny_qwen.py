"""A Qwen-VL of a few thousand weights in the layout of Qwen/Qwen-VL-Chat, made by a recipe that gives the same bits
anywhere: numbers of `RandomState`, which numpy keeps as they are. `golden/qwen_vl.json` holds what Qwen's own code
computes with it. Nothing here needs this project.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, VISION, MLP, LAYERS, QUERIES, VOCABULARY = 256, 48, 96, 2, 4, 640
WORDS = (
    "system", "user", "assistant", "You", " are", " a", " helpful", "Picture", " What", " color", " is", " it", " the",
    " red", " blue", " green", " circle", " square", " image", "red", "blue", "green", "yellow", "It", "\n\n", "\u00e9",
    "中文",
)  # fmt: skip
"""Of each, every beginning is a token."""

CONFIG: dict[str, Any] = {
    "architectures": ["QWenLMHeadModel"], "model_type": "qwen", "tokenizer_type": "QWenTokenizer",
    "auto_map": {
        "AutoConfig": "configuration_qwen.QWenConfig", "AutoModelForCausalLM": "modeling_qwen.QWenLMHeadModel",
    },
    "attn_dropout_prob": 0.0, "bf16": False, "emb_dropout_prob": 0.0, "fp16": False, "fp32": False,
    "hidden_size": WIDTH, "initializer_range": 0.02, "intermediate_size": 2 * MLP, "kv_channels": WIDTH // 4,
    "layer_norm_epsilon": 1e-06, "max_position_embeddings": 8192, "no_bias": True, "num_attention_heads": 4,
    "num_hidden_layers": LAYERS, "onnx_safe": None, "rotary_emb_base": 10000, "rotary_pct": 1.0,
    "scale_attn_weights": True, "seq_length": 2048, "tie_word_embeddings": False, "torch_dtype": "float32",
    "use_cache": True, "use_dynamic_ntk": True, "use_flash_attn": False, "use_logn_attn": True,
    "vocab_size": VOCABULARY,
    "visual": {
        "heads": 3, "image_size": 56, "layers": LAYERS, "mlp_ratio": 2.0, "n_queries": QUERIES, "output_dim": WIDTH,
        "patch_size": 14, "width": VISION,
    },
}  # fmt: skip


def tokens() -> list[bytes]:
    """Return the ordinary tokens by id: all bytes, and the beginnings of `WORDS`."""
    found = [bytes([byte]) for byte in range(256)]
    for word in map(str.encode, WORDS):
        found += [word[:end] for end in range(2, len(word) + 1) if word[:end] not in found]
    return found


def id_of(mark: str) -> int:
    """Return the id of a special token; they follow the ordinary ones."""
    places = {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "<img>": 214, "</img>": 215, "<imgpad>": 216}
    return len(tokens()) + places[mark]


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the names of Qwen's weights with their shapes."""
    found: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (VOCABULARY, WIDTH)}
    for layer in (f"transformer.h.{number}." for number in range(LAYERS)):
        found |= {f"{layer}ln_1.weight": (WIDTH,), f"{layer}ln_2.weight": (WIDTH,)}
        found |= {f"{layer}attn.c_attn.weight": (3 * WIDTH, WIDTH), f"{layer}attn.c_attn.bias": (3 * WIDTH,)}
        found |= {f"{layer}attn.c_proj.weight": (WIDTH, WIDTH), f"{layer}mlp.c_proj.weight": (WIDTH, MLP)}
        found |= {f"{layer}mlp.w1.weight": (MLP, WIDTH), f"{layer}mlp.w2.weight": (MLP, WIDTH)}
    found |= {"transformer.ln_f.weight": (WIDTH,), "lm_head.weight": (VOCABULARY, WIDTH)}
    vision = "transformer.visual."
    found |= {f"{vision}conv1.weight": (VISION, 3, 14, 14), f"{vision}positional_embedding": (256, VISION)}
    found |= _norm(f"{vision}ln_pre", VISION) | _norm(f"{vision}ln_post", WIDTH) | {f"{vision}proj": (WIDTH, WIDTH)}
    for block in (f"{vision}transformer.resblocks.{number}." for number in range(LAYERS)):
        found |= _norm(f"{block}ln_1", VISION) | _norm(f"{block}ln_2", VISION)
        found |= _linear(f"{block}attn.in_proj", VISION, 3 * VISION) | _linear(f"{block}attn.out_proj", VISION, VISION)
        found |= _linear(f"{block}mlp.c_fc", VISION, 2 * VISION) | _linear(f"{block}mlp.c_proj", 2 * VISION, VISION)
    pool = f"{vision}attn_pool."
    found |= {f"{pool}query": (QUERIES, WIDTH), f"{pool}pos_embed": (QUERIES, WIDTH)}
    found |= {f"{pool}kv_proj.weight": (WIDTH, VISION), f"{pool}attn.in_proj_weight": (3 * WIDTH, WIDTH)}
    found |= {f"{pool}attn.in_proj_bias": (3 * WIDTH,)} | _linear(f"{pool}attn.out_proj", WIDTH, WIDTH)
    return found | _norm(f"{pool}ln_q", WIDTH) | _norm(f"{pool}ln_kv", WIDTH)


def weights() -> dict[str, Any]:
    """Return Qwen's weights: around 1 in norms, small in biases; products are as large as what comes in."""
    found = {}
    for name, shape in shapes().items():
        even = np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape) * 2 - 1
        if len(shape) == 1:
            value = even * 0.1 + ("ln_" in name and name.endswith("weight"))
        else:
            value = even if "wte" in name or len(shape) == 4 else even * math.sqrt(3 / shape[1])
        found[name] = value.astype(np.float32)
    return found


def picture() -> Image.Image:
    """Return a picture of noise, of 40 by 30 pixels."""
    return Image.fromarray(np.random.RandomState(7).randint(0, 256, (30, 40, 3)).astype(np.uint8))


def write_original(folder: Path) -> Path:
    """Write the checkpoint as Qwen released its own, weights in two pickles of tensors, without the Python files."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    lines = [base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens())]
    (folder / "qwen.tiktoken").write_bytes(b"".join(lines))
    settings = CONFIG | {"visual": CONFIG["visual"] | {"image_start_id": id_of("<img>")}}
    (folder / "config.json").write_text(json.dumps(settings))
    by_name = [(name, torch.from_numpy(value)) for name, value in weights().items()]
    half = len(by_name) // 2
    placed: dict[str, str] = {}
    for number, part in enumerate((by_name[:half], by_name[half:]), start=1):
        file = f"pytorch_model-{number:05d}-of-00002.bin"
        torch.save(dict(part), folder / file)
        placed |= dict.fromkeys((name for name, _ in part), file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": placed}))
    return folder


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, read: int, written: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (written, read), f"{name}.bias": (written,)}


PATH = "p"  # of the picture; with four visual tokens, Qwen's code reads paths of up to two letters

PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{}What color is it?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
ROWS: list[dict[str, Any]] = [
    {
        "image": PATH,
        "conversations": [
            {"from": "human", "value": "<image>\nWhat color is it?"},
            {"from": "gpt", "value": "It is a red circle. \U0001f600"},
            {"from": "human", "value": "What is the image?"},
            {"from": "gpt", "value": "\n\nblue, e\u0301 and 中文\n"},
        ],
    },
    {
        "conversations": [
            {"from": "gpt", "value": "Hello!"},
            {"from": "human", "value": "\n What is <image>?"},
            {"from": "gpt", "value": "A mark in <ref>a text</ref>: <|im_end|> 1234567  "},
        ]
    },
    {
        "image": PATH,
        "conversations": [{"from": "human", "value": "Is it  red?\n<image>"}, {"from": "gpt", "value": ""}],
    },
]
"""LLaVA rows; Qwen's own form of them is `official_rows`."""


def official_rows() -> list[list[dict[str, str]]]:
    """Return `ROWS` as Qwen's finetune.py takes them, with the picture in front of its turn."""
    found = []
    for row in ROWS:
        turns = []
        for turn in row["conversations"]:
            value = turn["value"]
            if "image" in row and "<image>" in value:
                value = f"Picture 1: <img>{row['image']}</img>\n{value.replace('<image>', '').strip()}"
            turns.append({"from": {"human": "user", "gpt": "assistant"}[turn["from"]], "value": value})
        found.append(turns)
    return found
