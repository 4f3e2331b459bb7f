"""Qwen-VL's vision part: a ViT without class token, and a resampler that turns its patches into 256 visual tokens.

The names of weights are those of the released checkpoints (Qwen/Qwen-VL-Chat), so that none is renamed.
"""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

NORM_EPS = 1e-6
HEAD_SIZE = 128  # of the resampler


class VisionTower(nn.Module):
    """From pixels to visual tokens of the language model's width."""

    def __init__(self, config: Any) -> None:
        """Take the sizes of a `QwenVLVisionConfig`."""
        super().__init__()
        width = config.hidden_size
        self.conv1 = nn.Conv2d(3, width, config.patch_size, stride=config.patch_size, bias=False)
        self.positional_embedding = nn.Parameter(torch.zeros(config.positions, width))
        self.ln_pre = nn.LayerNorm(width, NORM_EPS)
        blocks = [
            Block(width, config.num_attention_heads, config.intermediate_size) for _ in range(config.num_hidden_layers)
        ]
        self.transformer = nn.ModuleDict({"resblocks": nn.Sequential(*blocks)})
        self.attn_pool = Resampler(config.queries, width, config.output_size)
        self.ln_post = nn.LayerNorm(config.output_size, NORM_EPS)
        self.proj = nn.Parameter(torch.zeros(config.output_size, config.output_size))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the visual tokens, (images, queries, output size), of pixels (images, 3, height, width)."""
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        hidden = self.transformer["resblocks"](
            self.ln_pre(patches + positions_for(self.positional_embedding, patches.shape[1]))
        )
        tokens: Tensor = self.ln_post(self.attn_pool(hidden)) @ self.proj
        return tokens


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, mlp_size: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width, NORM_EPS), nn.LayerNorm(width, NORM_EPS)
        self.attn = Attention(width, heads)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, mlp_size), "c_proj": nn.Linear(mlp_size, width)})

    def forward(self, hidden: Tensor) -> Tensor:
        """Keep the shape (images, patches, width)."""
        hidden = hidden + self.attn(self.ln_1(hidden))
        widened = nn.functional.gelu(self.mlp["c_fc"](self.ln_2(hidden)))
        result: Tensor = hidden + self.mlp["c_proj"](widened)
        return result


class Attention(nn.Module):
    """Attention of all patches to all; the rows of `in_proj` are grouped by head: query, key and value of each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Keep the shape (images, patches, width)."""
        by_head = self.in_proj(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        query, key, value = by_head.chunk(3, dim=-1)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return result


class Resampler(nn.Module):
    """Learned queries that attend to the patches: as many visual tokens as queries, whatever the image's size.

    `pos_embed` holds sine and cosine positions of the grid of queries; patches have those of their own grid by
    interpolation. Positions are added to queries and keys, not to values.
    """

    def __init__(self, queries: int, width: int, output_size: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(queries, output_size))
        self.pos_embed = nn.Parameter(torch.zeros(queries, output_size))
        self.kv_proj = nn.Linear(width, output_size, bias=False)
        self.attn = nn.MultiheadAttention(output_size, output_size // HEAD_SIZE, batch_first=True)
        self.ln_q, self.ln_kv = nn.LayerNorm(output_size, NORM_EPS), nn.LayerNorm(output_size, NORM_EPS)

    def forward(self, patches: Tensor) -> Tensor:
        """Return (images, queries, output size) for patches (images, patches, width)."""
        values = self.ln_kv(self.kv_proj(patches))
        keys = values + positions_for(self.pos_embed, values.shape[1])
        queries = (self.ln_q(self.query) + self.pos_embed).expand(len(values), -1, -1)
        tokens: Tensor = self.attn(queries, keys, values, need_weights=False)[0]
        return tokens


def positions_for(learned: Tensor, count: int) -> Tensor:
    """Interpolate positions of a square grid, (places, width), bicubically in float32 to a square grid of `count`."""
    here, there = isqrt(len(learned)), isqrt(count)
    if here == there:
        return learned
    grid = learned.float().unflatten(0, (1, here, here)).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(grid, size=(there, there), mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1).flatten(0, 2).to(learned.dtype)
