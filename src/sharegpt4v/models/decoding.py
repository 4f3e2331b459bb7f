"""How a model is decoded: greedily (paper section 5.1), and never to a token that is no text."""

from __future__ import annotations

from typing import Any

from sharegpt4v.models.templates import IMAGE


def greedy_settings(tokenizer: Any, embeddings: int) -> Any:
    """The GenerationConfig of a model with `embeddings` rows: greedy, with its marks, without the ids of no text.

    Vicuna's own file turns sampling off but keeps its temperature and top_p: transformers refuses to save that, and
    vLLM's server samples by it.
    """
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=never_generated(tokenizer, embeddings),
    )


def end_ids(settings: Any) -> list[int]:
    """The ids that end an answer by a GenerationConfig, which holds none, one or several."""
    ends = settings.eos_token_id
    return ends if isinstance(ends, list) else [] if ends is None else [ends]


def never_generated(tokenizer: Any, embeddings: int) -> list[int]:
    """The ids below `embeddings` that are no text: `<image>`, and those that the tokenizer has no token for."""
    vocabulary = tokenizer.get_vocab()
    return sorted({*range(embeddings)} - {id for token, id in vocabulary.items() if token != IMAGE})
