"""The stage that makes the mini preset's base models: tokenizer, language models, vision tower (paper section 4.1).

Each becomes an ordinary transformers folder, in the place where other presets have CLIP-L/14-336 and Vicuna.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharegpt4v.config.base_models import Transformer, VisionTower
from sharegpt4v.config.section import Section
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.folders import new_folder
from sharegpt4v.ledger import key_of
from sharegpt4v.locking import WriterLock
from sharegpt4v.miniature import RECORD
from sharegpt4v.models.loading import load_part
from sharegpt4v.provenance import provenance

TOKENIZER_ROWS = 3000  # of text: enough that every word of the synthetic world comes often


def make_tokenizer(out: Path, vocabulary: int, seed: int) -> None:
    """Learn a tokenizer of at most `vocabulary` tokens from the text world; write its folder `out`."""
    from sharegpt4v.mini.base_models import tokenizer_texts
    from sharegpt4v.mini.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(tokenizer_texts(TOKENIZER_ROWS, seed), vocabulary)
    with new_folder(out) as folder:
        tokenizer.save_pretrained(folder)
        write_json(folder / "provenance.json", provenance("tokenizer", {"vocabulary": vocabulary}, seed, [], __name__))


def make_llm(size: Transformer, out: Path, settings: Section, tokenizer_dir: Path, seed: int, work: Path) -> None:
    """Train a language model of the given size on the text world; `out` also gets the tokenizer.

    `settings` is the config's `base_models.llm_training`. The state to resume from is in `<work>/<fingerprint>` until
    `out` is there; a second run on that is a `UserError`.
    """
    from sharegpt4v.mini.base_models import train_llm
    from sharegpt4v.models.device import one_thread

    one_thread()
    tokenizer = _tokenizer(tokenizer_dir)
    about = _provenance("llm", [size, settings], seed, [tokenizer_dir])
    state = work / key_of(about["seed"], about["config"], about["inputs"])
    with WriterLock(state):
        model = train_llm(tokenizer, size, settings, seed, state)
        with new_folder(out) as folder:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            write_json(folder / "provenance.json", about | RECORD)
        shutil.rmtree(state, ignore_errors=True)


def make_tower(
    llava_captions_json: Path, data: Path, out: Path, settings: VisionTower, tokenizer_dir: Path, seed: int
) -> None:
    """Train a small CLIP on the images of a LLaVA JSON (files below `data`) and their alt-texts; write its folder."""
    from sharegpt4v.image_paths import inside
    from sharegpt4v.images.loading import open_rgb
    from sharegpt4v.mini.base_models import train_clip
    from sharegpt4v.models.device import one_thread
    from sharegpt4v.models.pixels import to_pixels, to_square
    from sharegpt4v.training.rows import read_rows

    one_thread()
    rows = read_rows(llava_captions_json, data, "vision tower")
    squares, texts = [], []
    for place, row in rows:
        if not row.get("image") or len(row["conversations"]) != 2:
            raise UserError(f"{place}: expected an image, a question and its alt-text")
        squares.append(to_square(open_rgb(inside(data, row["image"])), settings.image_size, "square"))
        texts.append(row["conversations"][1]["value"])
    model = train_clip(
        to_pixels(squares, settings.image_size, "square"),
        texts,
        _tokenizer(tokenizer_dir),
        {
            "hidden_size": settings.hidden_size,
            "intermediate_size": settings.mlp_size,
            "num_hidden_layers": settings.layers,
            "num_attention_heads": settings.heads,
            "image_size": settings.image_size,
            "patch_size": settings.patch_size,
        },
        settings.training.steps,
        settings.training.batch_size,
        settings.training.learning_rate,
        seed,
    )
    about = _provenance("vision_tower", [settings], seed, [llava_captions_json, tokenizer_dir])
    with new_folder(out) as folder:
        model.save_pretrained(folder)
        write_json(folder / "provenance.json", about | RECORD)


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder}: no tokenizer.json; expected the folder that the tokenizer's stage made")
    return load_part(AutoTokenizer, folder)


def _provenance(stage: str, sections: Sequence[Section], seed: int, inputs: Sequence[Path]) -> dict[str, Any]:
    settings = {type(section).__name__: section.model_dump(mode="json") for section in sections}
    return provenance(stage, settings, seed, inputs, __name__)
