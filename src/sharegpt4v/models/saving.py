"""Writing a checkpoint that others load without this project: transformers old and new, vLLM, lmms-eval.

A folder holds the weights under the names of llava-hf's published LLaVA-1.5 checkpoints, a processor that prepares an
image as the model was trained on it, a chat template that gives the trained prompt, and greedy generation settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sharegpt4v.models.decoding import greedy_settings

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
    processor.save_pretrained(folder)


def llava_hf_name(name: str) -> str:
    """The name that llava-hf's checkpoints have for a weight of transformers' LLaVA."""
    for here, there in PREFIXES.items():
        if name.startswith(here):
            return there + name.removeprefix(here)
    raise ValueError(f"{name}: not a weight of LLaVA; expected a name that begins with one of {', '.join(PREFIXES)}")
