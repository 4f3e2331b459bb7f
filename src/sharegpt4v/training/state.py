"""What a saved state holds: every trained weight and its optimiser's moments, by the parameter's name.

Each process writes one safetensors file with the elements that it trains. The files of a state hold each element once,
however many processes wrote them, so any number of processes reads what it needs of them: one continues what two
began. Nothing in them is a pickle. (DeepSpeed's own files are pickles, and fit as many processes as wrote them.)
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sharegpt4v.files import sync_folder, writing
from sharegpt4v.training.optimiser import check_moments

WEIGHT = "weight"
WHOLE = "whole."
"""Begins the kind of a value that is not one for each element: a count of steps, the scales of 8-bit moments."""


@dataclass(frozen=True)
class Fragment:
    """Consecutive elements of one parameter that this process trains.

    They are `count` elements of the parameter `name`, from `start` on when it is flattened, and `count` elements of
    `owner` from `offset` on. `owner` is what the optimiser steps: the parameter itself, or the float32 copy of many.
    """

    name: str
    start: int
    count: int
    owner: torch.Tensor
    offset: int = 0

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Return the view of these elements in `values`, which has the shape of `owner`."""
        return values.detach().view(-1)[self.offset : self.offset + self.count]


def snapshot(fragments: Sequence[Fragment], optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return a copy in host memory of what this process trains, for `write_part`.

    With AdamW in float32 it takes 12 bytes per element that this process trains (the weight and two moments), until it
    is written. So all processes together take 12 bytes per trained parameter, divided among the nodes.
    """
    copied = {}
    for one in fragments:
        for kind, value in ({WEIGHT: one.owner} | optimiser.state.get(one.owner, {})).items():
            if value is None:
                continue
            value = torch.as_tensor(value)
            if value.shape == one.owner.shape:
                value = one.of(value)
            elif value.dim() and one.offset:
                continue  # with the first fragment of the owner
            else:
                kind = WHOLE + kind
            copied[f"{kind}/{one.start}/{one.name}"] = value.detach().to("cpu", copy=True).contiguous()
    return copied


def write_part(path: Path, values: dict[str, torch.Tensor]) -> None:
    """Write a snapshot as a safetensors file, with a checksum of each tensor; it is on disk when this returns.

    `UserError` when it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(values, unfinished, {key: str(_checksum(value)) for key, value in values.items()})
        unfinished.chmod(0o644)  # safetensors writes for the owner alone
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        unfinished.rename(path)
        sync_folder(path.parent)
        sync_folder(path.parent.parent)


def _checksum(tensor: torch.Tensor) -> int:
    return zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data)


class Parts:
    """The files of one state, read as if they were one. Each method raises some error for a file that is damaged."""

    def __init__(self, paths: Sequence[Path]) -> None:
        # pread: a disk that fails is an error, where a mapped file would end the process.
        self.files: list[Any] = [safe_open(path, "pt", backend="pread") for path in paths]
        self.sums = [file.metadata() or {} for file in self.files]
        self.found: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
        for number, file in enumerate(self.files):
            for key in file.keys():  # noqa: SIM118  # it is no dict
                kind, start, name = key.split("/", 2)
                self.found[name, kind].append((int(start), number, key))
        self.kinds = sorted({kind for _, kind in self.found})
        self.in_blocks = any(
            kind.startswith(WHOLE) and self.files[number].get_slice(key).get_shape()
            for (_, kind), places in self.found.items()
            for _, number, key in places[:1]
        )

    def elements(self, kind: str, one: Fragment) -> torch.Tensor | None:
        """Return one value for each element of a fragment; None when the state has no such values of the parameter."""
        if not (places := self.found.get((one.name, kind))):
            return None
        pieces = []
        for start, number, key in sorted(places):
            length = self.files[number].get_slice(key).get_shape()[0]
            low, high = max(one.start, start), min(one.start + one.count, start + length)
            if low < high:
                pieces.append(self._read(number, key)[low - start : high - start])
        if sum(len(piece) for piece in pieces) != one.count:
            raise ValueError(f"not all of {kind} of {one.name}")
        return torch.cat(pieces)

    def whole(self, kind: str, one: Fragment) -> Any:
        """Return a value that counts for a whole fragment; None when the state has none of this kind."""
        for start, number, key in self.found.get((one.name, kind), []):
            value = self._read(number, key)
            if not value.dim():
                return value if value.is_floating_point() else int(value)
            if start == one.start:
                return value
        return None

    def _read(self, number: int, key: str) -> torch.Tensor:
        value: torch.Tensor = self.files[number].get_tensor(key)
        if str(_checksum(value)) != self.sums[number].get(key):
            raise ValueError(f"{key} has another checksum than when it was written")
        return value


def restore(fragments: Sequence[Fragment], optimiser: torch.optim.Optimizer, parts: Parts, processes: int) -> None:
    """Give the weights and moments of `parts` to what this process, one of `processes`, trains.

    Some error when the parts are damaged or are of another training. Moments in blocks (8-bit) cannot be divided
    otherwise than they were.
    """
    if parts.in_blocks and processes != len(parts.files):
        raise ValueError(f"moments in blocks, which only as many processes as wrote them, {len(parts.files)}, can read")
    states: dict[torch.Tensor, dict[str, Any]] = {}
    for one in fragments:
        if (weights := parts.elements(WEIGHT, one)) is None:
            raise ValueError(f"no weights of {one.name}")
        one.of(one.owner).copy_(weights)
        state = states.setdefault(one.owner, {})
        for kind, value in _moments(parts, one):
            if not kind.startswith(WHOLE):
                if kind not in state:
                    state[kind] = torch.zeros_like(one.owner, dtype=value.dtype, requires_grad=False)
                one.of(state[kind]).copy_(value)
            elif isinstance(value, torch.Tensor) and value.dim():
                state[kind.removeprefix(WHOLE)] = value
            else:  # a parameter that has had no gradient yet has made fewer steps
                kind = kind.removeprefix(WHOLE)
                state[kind] = max(state.get(kind, value), value)
    owners = [owner for group in optimiser.param_groups for owner in group["params"]]
    check_moments({kind for state in states.values() for kind in state}, optimiser)
    by_number = {number: states[owner] for number, owner in enumerate(owners) if states.get(owner)}
    optimiser.load_state_dict({"state": by_number, "param_groups": optimiser.state_dict()["param_groups"]})


def _moments(parts: Parts, one: Fragment) -> Iterator[tuple[str, Any]]:
    """The values that the optimiser has of a fragment, each with its kind."""
    for kind in parts.kinds:
        if kind != WEIGHT:
            value = parts.whole(kind, one) if kind.startswith(WHOLE) else parts.elements(kind, one)
            if value is not None:
                yield kind, value
