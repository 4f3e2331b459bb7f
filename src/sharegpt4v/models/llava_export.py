"""Writing a LLaVA in its authors' layout (paper section 4.1), for LLaVA's own code, SGLang and VLMEvalKit.

The inverse of `llava_import`: the same names and, for each weight, the same bytes; the embeddings lose the rows that
were added. The vision tower is always in the file, for nobody outside knows whether it is tuned.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.models.llama_tokenizer import BEGIN, END, UNKNOWN, piece_count
from sharegpt4v.models.llava_original import EMBEDDINGS, is_original, original_name, settings_of
from sharegpt4v.models.loading import load_part
from sharegpt4v.models.saving import SENTENCEPIECE, expected_weights, keep_sentencepiece
from sharegpt4v.models.weight_files import expect_shapes, shapes_of, tensors_of, write_weights


def export_llava(folder: Path, out: Path) -> None:
    """Write the checkpoint `folder` of this project to the empty folder `out` in LLaVA's layout.

    A `UserError` when it lacks the sentencepiece model of its language model, or has what the layout has no place for.
    """
    from transformers import AutoConfig, AutoProcessor

    if is_original(read_json(folder / "config.json")):
        raise UserError(f"{folder}: in LLaVA's own layout already; expected a checkpoint of this project")
    config = load_part(AutoConfig, folder)
    sentencepiece = folder / SENTENCEPIECE
    if not sentencepiece.is_file():
        raise UserError(f"{sentencepiece}: no such file, which the layout has; copy that of the language model there")
    vocabulary = piece_count(sentencepiece)
    if config.image_token_id != vocabulary:
        raise UserError(
            f"{sentencepiece}: {vocabulary:,} pieces; expected {config.image_token_id:,}, the id of <image>: take the "
            "file of this model"
        )
    pads = getattr(load_part(AutoProcessor, folder).image_processor, "do_pad", True)
    try:
        settings = settings_of(config, vocabulary, "pad" if pads else "square")
    except ValueError as error:
        raise UserError(f"{folder / 'config.json'}: LLaVA's layout has no place for this model: {error}") from None
    expect_shapes(folder, shapes_of(folder), expected_weights(config))

    def weights() -> Iterator[tuple[str, Tensor]]:
        for name, tensor in tensors_of(folder):
            yield original_name(name), tensor[:vocabulary] if name in EMBEDDINGS else tensor

    write_weights(out, weights())
    write_json(out / "config.json", settings)
    keep_sentencepiece(folder, out)
    for name, content in _about_tokens(config.text_config.max_position_embeddings).items():
        write_json(out / name, content)


def _about_tokens(longest: int) -> dict[str, dict[str, Any]]:
    """Return what the files beside `tokenizer.model` say, and the settings of generation."""
    marks = {"bos_token": BEGIN, "eos_token": END, "unk_token": UNKNOWN}
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {
        "special_tokens_map.json": {key: {"content": mark, **plain} for key, mark in marks.items()}
        | {"pad_token": UNKNOWN},
        "tokenizer_config.json": {
            "add_bos_token": True,
            "add_eos_token": False,
            **{key: {"__type": "AddedToken", "content": mark, **plain} for key, mark in marks.items()},
            "clean_up_tokenization_spaces": False,
            "legacy": False,
            "model_max_length": longest,
            "pad_token": None,
            "padding_side": "right",
            "sp_model_kwargs": {},
            "tokenizer_class": "LlamaTokenizer",
        },
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": 2, "max_length": longest, "pad_token_id": 0},
    }
