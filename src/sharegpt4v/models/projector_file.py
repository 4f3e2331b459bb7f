"""A projector that others have published by itself, such as LLaVA-1.5's `mm_projector.bin` (paper section 4.2).

LLaVA's first stage trains nothing else, so its file takes the place of that stage, for the language model and the tower
that it was trained with; with any other it is worthless.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharegpt4v.errors import UserError
from sharegpt4v.models.weight_files import read_pickle

FILE = "mm_projector.bin"
MARK = "mm_projector."  # what follows it is the name inside the projector
FORMS = {  # the names inside, and transformers'
    "mlp2x_gelu": {"0": "linear_1", "2": "linear_2"},
    "linear": {"": "linear"},
}


def read_projector(path: Path) -> dict[str, Tensor]:
    """Return the weights of a projector file, or of that in a folder, by transformers' names.

    Those of two layers are `linear_1.weight`, `.bias` and `linear_2.weight`, `.bias`, of shapes (hidden, width),
    (hidden,), (hidden, hidden), (hidden,); those of a linear one `linear.weight` and `linear.bias`. Rows of embeddings,
    which old files hold too, are refused like every other weight: a `UserError` names what is unknown or missing.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: no such file; expected a projector, as LLaVA's {FILE}")
    found = {name.rpartition(MARK)[2] if MARK in name else name: tensor for name, tensor in read_pickle(file).items()}
    form = "linear" if "weight" in found else "mlp2x_gelu"
    names = {
        ".".join(filter(None, (here, part))): f"{there}.{part}"
        for here, there in FORMS[form].items()
        for part in ("weight", "bias")
    }
    for what, wrong in (("has unknown weights", found.keys() - names), ("lacks weights", names.keys() - found.keys())):
        if wrong:
            raise UserError(f"{file}: {what}: {', '.join(sorted(wrong)[:5])}; expected {', '.join(names)} of a {form}")
    return {names[name]: tensor for name, tensor in found.items()}


def load_projector(model: Any, path: Path) -> None:
    """Put a projector of two layers into a LLaVA as `build_llava` makes it, in the model's precision.

    A `UserError` when it is a linear one, or of other widths than the model's tower and language model.
    """
    weights = read_projector(path)
    own = dict(model.model.multi_modal_projector.named_parameters())
    if weights.keys() != own.keys():
        raise UserError(f"{path}: a projector of {', '.join(weights)}; expected {', '.join(own)}, as the model's")
    for name, parameter in own.items():
        if weights[name].shape != parameter.shape:
            raise UserError(
                f"{path}: {name} is {tuple(weights[name].shape)}, the model's {tuple(parameter.shape)}; expected the "
                "projector of this language model and tower"
            )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])
