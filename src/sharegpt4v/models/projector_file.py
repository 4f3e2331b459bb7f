"""A projector that others have published by itself, such as LLaVA-1.5's `mm_projector.bin` (paper section 4.2).

LLaVA's first stage trains nothing else, so its file takes the place of that stage, for the language model and the tower
that it was trained with; with any other it is worthless.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sharegpt4v.config.base_models import Projector, Published
from sharegpt4v.config.training import Precision
from sharegpt4v.errors import UserError
from sharegpt4v.files import sha256_of, write_json
from sharegpt4v.folders import new_folder
from sharegpt4v.miniature import record_of
from sharegpt4v.models.downloads import folder_of, pinned
from sharegpt4v.models.joining import draw_projector, join_llava
from sharegpt4v.models.weight_files import read_pickle
from sharegpt4v.provenance import provenance

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
    file = _file(path)
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


def join(
    tower: Path, llm: Path, published: Published, out: Path, form: Projector, precision: Precision = "bfloat16"
) -> None:
    """Write `out`, a LLaVA of a tower and a language model with a published projector, as an alignment would make it.

    A `UserError` when the projector cannot be had, or was trained for others.
    """
    whole = pinned(published)
    folder = folder_of(whole)
    projector = read_projector(folder)
    _expect_fitting(folder, projector, draw_projector(tower, llm, form, 0))
    about = provenance("alignment", {"projector": whole.model_dump()}, None, [tower, llm], __name__)
    with new_folder(out) as unfinished:
        join_llava(tower, llm, projector, unfinished, getattr(torch, precision))
        drawn = record_of(False, [tower, llm])
        write_json(unfinished / "provenance.json", about | {"projector_sha256": sha256_of(_file(folder))} | drawn)


def _expect_fitting(folder: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise a `UserError` for a projector of other layers, or of other widths, than one of these parts has."""
    if found.keys() != expected.keys():
        raise UserError(f"{folder}: a projector of {', '.join(found)}; expected {', '.join(expected)}, as the model's")
    for name, weight in expected.items():
        if found[name].shape != weight.shape:
            raise UserError(
                f"{folder}: {name} is {tuple(found[name].shape)}, the model's {tuple(weight.shape)}; expected the "
                "projector of this language model and tower"
            )


def _file(path: Path) -> Path:
    return path / FILE if path.is_dir() else path
