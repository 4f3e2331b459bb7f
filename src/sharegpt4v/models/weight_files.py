"""The weights of a published checkpoint (paper section 4.1), file by file, in the layout of whoever published it.

A 13B model has 26 GB of weights: they are renamed and written as they are read, one file's worth in memory at most.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.image_paths import plain_name
from sharegpt4v.models.loading import refused_in_one_line

SHARD_BYTES = 5 * 10**9
WHOLE = ("model.safetensors", "pytorch_model.bin")  # in the order of preference; an index of several has `.index.json`

Shapes = Mapping[str, tuple[int, ...]]


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint's weights, safetensors if there are any; a `UserError` when one is missing."""
    for name in WHOLE:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if not index.is_file():
            continue
        found = read_json(index)
        placed = found.get("weight_map") if isinstance(found, dict) else None
        try:
            names = sorted({plain_name(file) for file in placed.values()}) if isinstance(placed, dict) else []
        except (ValueError, TypeError, AttributeError):
            names = []
        if not names:
            raise UserError(f"{index}: no weight_map from weights to files of the folder; expected the published file")
        for file in names:
            if not (folder / file).is_file():
                raise UserError(f"{folder / file}: no such file; {index.name} names it: download the checkpoint again")
        return [folder / file for file in names]
    raise UserError(f"{folder}: no weights; expected {' or '.join(WHOLE)}, or an index of several files")


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a checkpoint's weights by their names; a `UserError` for a name that two files have."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in weight_files(folder):
        for name, tensor in _tensors_in(file, shape_only=True):
            if name in shapes:
                raise UserError(f"{file}: {name} is in another file of the folder too; expected each weight once")
            shapes[name] = tuple(tensor.shape)
    return shapes


def tensors_of(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the names and weights of a checkpoint, one file after another. Pickles are read as tensors only."""
    for file in weight_files(folder):
        yield from _tensors_in(file)


def read_pickle(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a `.bin` by name; a `UserError` for one that holds or does anything else."""
    with refused_in_one_line(file):
        mapped = zipfile.is_zipfile(file)  # files of torch before 1.6 are not, and are read into memory
        found: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    if not isinstance(found, dict) or not all(isinstance(one, Tensor) for one in found.values()):
        raise UserError(f"{file}: not weights by their names; expected a dictionary of tensors, as PyTorch saves it")
    return {str(name): tensor.detach() for name, tensor in found.items()}


def _tensors_in(file: Path, shape_only: bool = False) -> Iterator[tuple[str, Tensor]]:
    if file.suffix != ".safetensors":
        yield from read_pickle(file).items()
        return
    from safetensors import safe_open

    with refused_in_one_line(file):
        opened: Any = safe_open(file, "pt")
        names = sorted(opened.keys())
    for name in names:
        with refused_in_one_line(file):
            shape = opened.get_slice(name).get_shape() if shape_only else ()
            tensor = torch.empty(shape, device="meta") if shape_only else opened.get_tensor(name)
        yield name, tensor


def expect_shapes(folder: Path, found: Shapes, expected: Shapes) -> None:
    """Raise a `UserError` that names a weight that is missing, unknown or of another shape, and how many there are."""
    for what, names in (
        ("lacks the weights", expected.keys() - found.keys()),
        ("has weights that are unknown", found.keys() - expected.keys()),
        ("has weights of another shape", {name for name in found if found[name] != expected.get(name)}),
    ):
        if names:
            first = min(names)
            shapes = f" {found[first]}, not {expected[first]}," if first in found and first in expected else ""
            raise UserError(
                f"{folder}: {what}: {first}{shapes} ({len(names)} in all); expected those of its config.json"
            )


def write_weights(folder: Path, tensors: Iterable[tuple[str, Tensor]], shard_bytes: int = SHARD_BYTES) -> None:
    """Write weights as transformers names the files: `model.safetensors`, or several of `shard_bytes` and an index."""
    shards: list[list[str]] = []
    waiting: dict[str, Tensor] = {}
    waiting_bytes = total = 0
    for name, tensor in tensors:
        if waiting and waiting_bytes + tensor.nbytes > shard_bytes:
            shards.append(_write(folder, len(shards), waiting))
            waiting, waiting_bytes = {}, 0
        waiting[name] = tensor.clone(memory_format=torch.contiguous_format)  # in pickles, several may share memory
        waiting_bytes += tensor.nbytes
        total += tensor.nbytes
    shards.append(_write(folder, len(shards), waiting))
    if len(shards) == 1:
        _part(folder, 0).rename(folder / WHOLE[0])
        return
    placed: dict[str, str] = {}
    for number, names in enumerate(shards):
        file = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        _part(folder, number).rename(folder / file)
        placed |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))}
    write_json(folder / f"{WHOLE[0]}.index.json", index)


def _write(folder: Path, number: int, tensors: dict[str, Tensor]) -> list[str]:
    from safetensors.torch import save_file

    save_file(tensors, _part(folder, number), {"format": "pt"})
    return list(tensors)


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number}"
