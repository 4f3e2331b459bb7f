"""Writing a checkpoint that others load without this project: transformers old and new, vLLM, lmms-eval.

A folder holds the weights under the names of llava-hf's published LLaVA-1.5 checkpoints, a processor that prepares an
image as the model was trained on it, a chat template that gives the trained prompt, and greedy generation settings.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sharegpt4v.models.decoding import greedy_settings

SENTENCEPIECE = "tokenizer.model"
# transformers' names in memory, and llava-hf's. Newer transformers would leave `vision_model.` out, which vLLM refuses.
PREFIXES = {
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
}


def save_llava(model: Any, processor: Any, folder: Path, max_shard_size: str = "50GB") -> None:
    """Write the LMM `model` and its processor to `folder` as safetensors; more than `max_shard_size` are several files.

    Tied embeddings are written once. The generation settings are replaced by greedy ones, see `greedy_settings`.
    """
    model.generation_config = greedy_settings(processor.tokenizer, model.config.text_config.vocab_size)
    weights = {llava_hf_name(name): tensor for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=weights, save_original_format=False, max_shard_size=max_shard_size)
    _save_processor(processor, folder)


def save_settings(config: Any, processor: Any, folder: Path) -> None:
    """Write what `save_llava` writes beside the weights."""
    config.architectures = ["LlavaForConditionalGeneration"]
    config.save_pretrained(folder)
    greedy_settings(processor.tokenizer, config.text_config.vocab_size).save_pretrained(folder)
    _save_processor(processor, folder)


def _save_processor(processor: Any, folder: Path) -> None:
    """The sentencepiece model that the tokenizer was made of goes along, for `s4v export`."""
    processor.save_pretrained(folder)
    if origin := processor.tokenizer.name_or_path:
        keep_sentencepiece(Path(origin), folder)


def keep_sentencepiece(origin: Path, folder: Path) -> None:
    """Copy the sentencepiece model of a folder, if it has one, to another."""
    if (origin / SENTENCEPIECE).is_file():
        shutil.copyfile(origin / SENTENCEPIECE, folder / SENTENCEPIECE)


def expected_weights(config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of a model with this LlavaConfig, by the names that they have on disk."""
    import torch
    from transformers import LlavaForConditionalGeneration

    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    return {llava_hf_name(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def on_disk(name: str) -> str:
    """The name that llava-hf's checkpoints have for a weight in a file of any transformers; others stay as they are.

    Releases from 5.6 on wrote the tower without `vision_model.`, some the names that they have in memory.
    """
    for here, there in (*PREFIXES.items(), ("vision_tower.", PREFIXES["model.vision_tower."])):
        if name.startswith(here) and not name.startswith(there):
            return there + name.removeprefix(here).removeprefix("vision_model.")
    return name


def llava_hf_name(name: str) -> str:
    """The name that llava-hf's checkpoints have for a weight of transformers' LLaVA."""
    for here, there in PREFIXES.items():
        if name.startswith(here):
            return there + name.removeprefix(here)
    raise ValueError(f"{name}: not a weight of LLaVA; expected a name that begins with one of {', '.join(PREFIXES)}")
