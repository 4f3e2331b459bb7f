"""The base models of the mini preset: a small CLIP learned from alt-texts, and small Llamas learned from text.

They take the places of CLIP-L/14-336 and Vicuna (paper section 4.1). The tower sees only pictures with the few words
that came with them; the language models see only text.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from sharegpt4v.mini.instructions import text_row
from sharegpt4v.progress import Progress
from sharegpt4v.training.conversation import v1_text
from sharegpt4v.training.run import Schedule


def train_clip(
    pixels: torch.Tensor,
    texts: Sequence[str],
    tokenizer: Any,
    vision: dict[str, int],
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> Any:
    """Train a CLIP on pictures (float32, images x 3 x size x size) and their alt-texts; return the CLIPModel.

    Pictures with equal texts in one batch are positives of each other, since mini alt-texts often repeat.
    """
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    model = CLIPModel(
        CLIPConfig(
            vision_config=dict(vision, num_channels=3, hidden_act="quick_gelu"),
            text_config={
                "hidden_size": vision["hidden_size"],
                "intermediate_size": 2 * vision["hidden_size"],
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "vocab_size": len(tokenizer),
                "max_position_embeddings": 24,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
            },
            projection_dim=vision["hidden_size"], initializer_factor=float(__import__("os").environ.get("FAC","1")),
        )
    )
    encoded = tokenizer(
        [f"{text}</s>" for text in texts], padding="max_length", max_length=24, truncation=True,
        padding_side="right", return_tensors="pt",
    )  # fmt: skip
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    meaning = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    same = torch.tensor([meaning[text] for text in texts])
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule, order = Schedule(steps, steps // 20), torch.Generator().manual_seed(seed)
    progress = Progress("vision tower", steps, "steps", every=5)
    model.train()
    for step in range(steps):
        chosen = torch.randint(len(texts), (batch_size,), generator=order)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * schedule(step)
        output = model(input_ids=ids[chosen], attention_mask=mask[chosen], pixel_values=pixels[chosen])
        target = (same[chosen][:, None] == same[chosen][None, :]).float()
        target = target / target.sum(1, keepdim=True)
        logits = output.logits_per_image
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        progress.advance(note=f"loss {loss.item():.3f}")
    return model.eval()


def corpus(rows: int, seed: int) -> list[str]:
    """The text world: `rows` conversations as text, for the tokenizer."""
    return [v1_text(text_row(number, seed)["conversations"])[0] for number in range(rows)]
