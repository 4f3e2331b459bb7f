"""Writing a LLaVA of others in the layout of this project (paper section 4.1); its weights keep their bytes.

Two layouts are read: the authors' (see `llava_original`), and llava-hf's. What the folder gets beside the weights is
made here, for the published files give other ids and other texts than the model was trained with: a tokenizer that puts
LLaVA's blank after `<image>`, the chat template of the training, and greedy generation settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.models.building import processor_for
from sharegpt4v.models.family import Find
from sharegpt4v.models.llama_tokenizer import read_sentencepiece, read_tokenizer_json
from sharegpt4v.models.llava_original import (
    EMBEDDINGS,
    check_original,
    config_of,
    hub_name,
    is_original,
    is_share4v,
)
from sharegpt4v.models.llava_tower import OriginalTower
from sharegpt4v.models.loading import check_settings, load_part, refused_in_one_line
from sharegpt4v.models.published import ROWS_PER_BLOCK, mean_of_rows
from sharegpt4v.models.saving import (
    SENTENCEPIECE,
    expected_weights,
    keep_sentencepiece,
    on_disk,
    save_settings,
)
from sharegpt4v.models.templates import CHAT_TEMPLATE, IMAGE
from sharegpt4v.models.weight_files import expect_shapes, shapes_of, tensors_of, write_weights

Named = Iterator[tuple[str, Tensor]]


def import_llava(folder: Path, out: Path, find: Find) -> None:
    """Write the LLaVA in `folder` to the empty folder `out`. `find` gives the folder of its vision tower.

    A `UserError` names a weight that is missing, unknown or of another shape, and a tower that cannot be the model's.
    """
    check_settings(folder)
    settings = read_json(folder / "config.json")
    if is_original(settings):
        _from_original(folder, settings, out, find)
    else:
        _from_llava_hf(folder, out)
    keep_sentencepiece(folder, out)


def _from_original(folder: Path, settings: Mapping[str, Any], out: Path, find: Find) -> None:
    check_original(settings, folder / "config.json")
    tower = OriginalTower(folder, settings["mm_vision_tower"], find)
    if is_share4v(settings):
        tower.refuse_plain(find)
    tokenizer = _tokenizer(folder)
    shapes = {hub: shape for name, shape in shapes_of(folder).items() if (hub := hub_name(name))}
    vocabulary = shapes.get(EMBEDDINGS[0], (0,))[0]
    image_id = tokenizer.convert_tokens_to_ids(IMAGE)
    if vocabulary != image_id:
        raise UserError(
            f"{folder}: {vocabulary:,} rows of embeddings, and a vocabulary of {image_id:,} tokens; expected as many"
        )
    rows = -(-len(tokenizer) // ROWS_PER_BLOCK) * ROWS_PER_BLOCK
    with refused_in_one_line(folder):
        config = config_of(settings, tower.config, rows, image_id)
        expected = expected_weights(config)
    for name in EMBEDDINGS:
        expected[name] = (vocabulary, *expected[name][1:])
    expect_shapes(folder, tower.shapes | shapes, expected)

    def weights() -> Named:
        for name, tensor in tensors_of(folder):
            if hub := hub_name(name):
                config.dtype = tensor.dtype if hub in EMBEDDINGS else config.dtype
                yield hub, mean_of_rows(tensor, rows) if hub in EMBEDDINGS else tensor
        yield from tower.weights()

    write_weights(out, weights())
    processor = processor_for(config, tokenizer, settings.get("image_aspect_ratio", "square"))
    save_settings(config, processor, out)


def _from_llava_hf(folder: Path, out: Path) -> None:
    from transformers import AutoConfig

    config = load_part(AutoConfig, folder)
    if config.text_config.model_type != "llama" or config.vision_config.model_type != "clip_vision_model":
        kinds = f"{config.vision_config.model_type} and {config.text_config.model_type}"
        raise UserError(f"{folder / 'config.json'}: a LLaVA of {kinds}; expected one of CLIP and Llama")
    tokenizer = _tokenizer(folder)
    image_id = tokenizer.convert_tokens_to_ids(IMAGE)
    if config.image_token_id != image_id:
        raise UserError(
            f"{folder}: image_token_index is {config.image_token_id}, by the vocabulary {image_id}; expected one number"
        )
    with refused_in_one_line(folder):
        expected = expected_weights(config)
    if config.tie_word_embeddings:
        expected.pop(EMBEDDINGS[1])
    shapes = {on_disk(name): shape for name, shape in shapes_of(folder).items()}
    expect_shapes(folder, shapes, expected)
    write_weights(out, ((on_disk(name), tensor) for name, tensor in tensors_of(folder)))
    save_settings(config, processor_for(config, tokenizer, _image_aspect_ratio(folder)), out)


def _tokenizer(folder: Path) -> Any:
    """Of a folder's vocabulary, the tokenizer that its model was trained with; this project's own is taken as it is."""
    from transformers import AutoTokenizer

    if (folder / SENTENCEPIECE).is_file():
        tokenizer = read_sentencepiece(folder / SENTENCEPIECE, IMAGE)
    elif (folder / "chat_template.jinja").is_file() and (folder / "chat_template.jinja").read_text() == CHAT_TEMPLATE:
        tokenizer = load_part(AutoTokenizer, folder)
    elif (folder / "tokenizer.json").is_file():
        tokenizer = read_tokenizer_json(folder / "tokenizer.json", IMAGE)
    else:
        raise UserError(f"{folder}: no {SENTENCEPIECE} and no tokenizer.json; expected the published files")
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _image_aspect_ratio(folder: Path) -> str:
    """How a llava-hf folder has images made square: padded, unless its processor can pad and does not.

    That of the published LLaVA-1.5 cuts them, for CLIP's processor cannot pad; its model was trained on padded ones.
    """
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name)
            found = found.get("image_processor", found)
            if "do_pad" in found:
                return "pad" if found["do_pad"] else "square"
    return "pad"
