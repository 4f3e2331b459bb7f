"""A LLaVA of a few thousand random weights, with the real tokenizer and processor; and pictures to show it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from sharegpt4v.config.base_models import Projector
from sharegpt4v.models.templates import prompt_text

COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = ("circle", "square")
SIZE, PATCH = 24, 12


def write_tower_and_llm(folder: Path, tied: bool = False, width: int = 32) -> tuple[Path, Path]:
    """Write a CLIP and a Llama with random weights (`tied`: equal ones for input and output); return their folders.

    `width` is the Llama's, with heads of 32.
    """
    import torch
    from transformers import CLIPConfig, CLIPModel, LlamaConfig, LlamaForCausalLM

    from sharegpt4v.mini.tokenizer import train_tokenizer

    torch.manual_seed(3)  # with these weights some captions end by themselves, and others are cut off
    questions = [f"Is there a {colour} {shape} in the image?" for colour in COLOURS for shape in SHAPES]
    tokenizer = train_tokenizer([f"{prompt_text(question, False)} yes no" for question in questions * 4], 1000)
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2,
        "image_size": SIZE, "patch_size": PATCH,
    }  # fmt: skip
    text = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 10,
        "bos_token_id": 0, "eos_token_id": 1,
    }  # fmt: skip
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=32)).save_pretrained(folder / "tower")
    llm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=width // 32,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=0,
            initializer_range=0.3, tie_word_embeddings=tied,
        )
    )  # fmt: skip
    llm.save_pretrained(folder / "llm")
    tokenizer.save_pretrained(folder / "llm")
    return folder / "tower", folder / "llm"


def build_llava(tower: Path, llm: Path, seed: int, projector: Projector = "mlp2x_gelu") -> tuple[Any, Any]:
    """Return the two joined by a projector drawn from `seed`, as (model, processor)."""
    from sharegpt4v.models.building import load_llava
    from sharegpt4v.models.joining import draw_projector, join_llava

    with tempfile.TemporaryDirectory() as folder:
        join_llava(tower, llm, draw_projector(tower, llm, projector, seed), Path(folder))
        return load_llava(Path(folder))


def write_llava(
    folder: Path, image_aspect_ratio: str = "square", projector: Projector = "mlp2x_gelu", width: int = 32
) -> Path:
    """Write a LLaVA with random weights, for images made square that way; return its folder."""
    from sharegpt4v.models.building import processor_for
    from sharegpt4v.models.saving import save_llava

    model, processor = build_llava(*write_tower_and_llm(folder, width=width), 1, projector)
    processor = processor_for(model.config, processor.tokenizer, image_aspect_ratio)
    # A projector as loud as the words, so that what is written depends on the picture.
    layers = model.model.multi_modal_projector
    for parameter in (layers if projector == "mlp2x_gelu" else layers.linear_1).parameters():
        parameter.data *= 20
    save_llava(model, processor, folder / "llava")
    return folder / "llava"


def write_pictures(data: Path, count: int, source: str = "coco") -> dict[str, str]:
    """Draw pictures of several heights below `data`; return their paths there with a few words on each."""
    written = {}
    for number in range(count):
        colour, shape = COLOURS[number % len(COLOURS)], SHAPES[number // len(COLOURS) % len(SHAPES)]
        picture = Image.new("RGB", (48, 48 - 6 * (number % 3)), (20 * number % 256, 130, 140))
        box = (number % 20, 4, number % 20 + 24, 28)
        pen = ImageDraw.Draw(picture)
        (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=colour)
        path = f"{source}/{number:03d}.jpg"
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        picture.save(data / path)
        written[path] = f"{colour} {shape}"
    return written
