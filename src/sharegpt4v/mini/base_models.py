"""The base models of the mini preset: a small CLIP learned from alt-texts, and small Llamas learned from text.

They take the places of CLIP-L/14-336 and Vicuna (paper section 4.1). The tower sees only pictures with the few words
that came with them; the language models see only text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from sharegpt4v.config.training import Recipe
from sharegpt4v.mini.text import PHASES, row
from sharegpt4v.models.templates import encode
from sharegpt4v.progress import Progress
from sharegpt4v.training.run import cosine_schedule, train

PLACES_STD = 0.6
"""Standard deviation of the tower's position embeddings at the start. No alt-text speaks of places, so those of CLIP,
0.02, stay so small that a language model cannot learn from the frozen tower where something is."""


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
            projection_dim=vision["hidden_size"],
        )
    )
    torch.nn.init.normal_(model.vision_model.embeddings.position_embedding.weight, std=PLACES_STD)
    number_of = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    said = torch.tensor([number_of[text] for text in texts])
    encoded = tokenizer(
        [f"{text}</s>" for text in number_of], padding=True, max_length=24, truncation=True,
        padding_side="right", return_tensors="pt",
    )  # fmt: skip
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01, fused=True)
    schedule, order = cosine_schedule(steps, 0.05), torch.Generator().manual_seed(seed)
    progress = Progress("vision tower", steps, "steps", every=5)
    model.train()
    for step in range(steps):
        chosen = torch.randint(len(texts), (batch_size,), generator=order)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * schedule(step)
        distinct, of_picture = said[chosen].unique(return_inverse=True)
        output = model(input_ids=ids[distinct], attention_mask=mask[distinct], pixel_values=pixels[chosen])
        logits = output.logits_per_image[:, of_picture]
        target = (of_picture[:, None] == of_picture).float()
        target = target / target.sum(1, keepdim=True)
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        progress.advance(note=f"loss {loss.item():.3f}")
    return model.eval()


def train_llm(tokenizer: Any, size: Any, training: Any, seed: int, work: Path) -> Any:
    """Train a Llama of `size` (a Transformer of the config) on the text world; return the LlamaForCausalLM.

    `training.rows` rows are dealt to the phases of `sharegpt4v.mini.text`, each with a schedule of its own. Weights
    start at a tenth, not at the usual fiftieth: at this width it makes attention see differences from the start. The
    position code turns slower than Llama's, since what matters is which words are there and not how far away.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.hidden_size,
            intermediate_size=size.mlp_size,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            max_position_embeddings=2048,
            initializer_range=0.1,
            rope_parameters={"rope_type": "default", "rope_theta": 1e5},
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=True,
        )
    )
    recipe = Recipe(
        learning_rate=training.learning_rate,
        batch_size=training.batch_size,
        batch_of="rows",
        sequence_length=128,
        gradient_clip=1.0,
        template="v1",
        image_aspect_ratio="square",
        checkpoint_minutes=60,
        precision="float32",
    )
    for number, (count, share) in enumerate(PHASES):
        texts = [row(index, count, seed) for index in range(max(8, round(training.rows * share)))]
        samples = [encode(tokenizer, text, spans, 0) for text, spans in texts]
        what = f"language model, phase {number + 1} of {len(PHASES)}"
        train(model, samples, recipe, seed, work / f"phase{number}", what)
    return model


def tokenizer_texts(rows: int, seed: int) -> Iterator[str]:
    """The text that the tokenizer is learned from: `rows` rows of the last phase, which has all kinds of text."""
    return (row(number, 0, seed)[0] for number in range(rows))
