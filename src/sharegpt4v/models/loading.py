"""Checkpoints of others (paper section 4.1: CLIP, Vicuna) are data: they load or are refused; no code of theirs runs.

Every model, configuration, tokenizer and processor of the project is loaded here: never with `trust_remote_code`, from
safetensors where the folder has them, and from pickles only as tensors (`weights_only`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sharegpt4v.errors import UserError, one_line
from sharegpt4v.files import read_json

SETTINGS = (
    "config.json", "generation_config.json", "tokenizer_config.json", "processor_config.json",
    "preprocessor_config.json",
)  # fmt: skip
LARGEST = {"num_hidden_layers": 1000, "vocab_size": 10**7, "image_size": 10**5, "hidden_size": 10**6}


def precision_on(device: torch.device | None) -> Any:
    """Return the `dtype` that models are loaded in: that of their file on a GPU, float32 on the CPU (None)."""
    return torch.float32 if device is None or device.type == "cpu" else "auto"


def load_part(kind: Any, folder: Path, **settings: Any) -> Any:
    """Load the configuration, tokenizer or processor in `folder` by a class of transformers.

    `UserError` when there is none that can be used, or it names code of its own.
    """
    check_settings(folder)
    with refused_in_one_line(folder):
        return kind.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **settings)


def load_model(kind: Any, folder: Path, device: torch.device | None = None, dtype: Any = "auto") -> Any:
    """Load the weights in `folder` into a model class of transformers, straight onto `device` (None: the CPU).

    The model is made without memory, and the weights are read one after another in the precision of their file and
    laid where they stay, as `dtype`; so no second copy is held, in the host's memory or the device's. Under ZeRO-3
    (see `training.zero`) only the first process reads, all files at once, and each keeps its part.

    `UserError` when it cannot be done, and when weights of the model are missing in the folder: transformers would
    draw them at random. Weights that the model has no place for are refused too, but under ZeRO-3, where transformers
    does not tell them.
    """
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

    check_settings(folder)
    place = None if device is None or is_deepspeed_zero3_enabled() else {"": device}
    with refused_in_one_line(folder):
        model, found = kind.from_pretrained(
            folder,
            trust_remote_code=False,
            local_files_only=True,
            weights_only=True,
            output_loading_info=True,
            device_map=place,
            dtype=dtype,
        )
    for what, names in (
        ("lacks the weights", found["missing_keys"]),
        ("has weights of another shape", found["mismatched_keys"]),
        ("has weights that its config has no place for", found["unexpected_keys"]),
    ):
        if names:
            first = min(map(str, names))
            raise UserError(f"{folder}: {what}: {first} ({len(names)} in all); expected those of its config.json")
    return model


@contextmanager
def refused_in_one_line(folder: Path) -> Iterator[None]:
    """Turn any error of the libraries that read a checkpoint into a `UserError` of one line that names `folder`.

    They raise whatever comes up, from `KeyError` to `UnpicklingError`, for files that are not as they expect.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{folder}: cannot be used as a checkpoint ({type(error).__name__}: {one_line(error)}); expected whole "
            "files as transformers saves them, with weights and no code"
        ) from error


def check_settings(folder: Path) -> None:
    """Refuse settings that name code of their own, or sizes that no machine can build."""
    for name in SETTINGS:
        if not (folder / name).is_file():
            continue
        for key, value in _values(read_json(folder / name)):
            code = key == "auto_map" or (key.endswith("attn_implementation") and "/" in str(value))
            if code:
                raise UserError(f"{folder / name}: {key} names code of its own, which is never run; use one without")
            if isinstance(value, int) and value > LARGEST.get(key, value):
                raise UserError(f"{folder / name}: {key} is {value}; expected at most {LARGEST[key]}")


def _values(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of a JSON tree, however deep."""
    left = [tree]
    while left:
        tree = left.pop()
        if isinstance(tree, dict):
            yield from tree.items()
        left += tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
