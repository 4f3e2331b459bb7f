"""This process among those that train one model together: its rank, its shard of a batch, what all of them agree on.

torchrun starts the processes and tells each its place in the environment; a process started by itself is alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch

from sharegpt4v.errors import UserError
from sharegpt4v.models.device import choose_device

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The number of this process, from 0, and how many there are."""

    rank: int = 0
    count: int = 1

    def shard(self, rows: Sequence[T]) -> Sequence[T]:
        """Return this process's part of the rows of a batch; together the parts are the batch."""
        return rows[self.rank :: self.count]

    def all_reduce_sum(self, *values: float) -> list[float]:
        """Sum each value over all processes. Every process has to call it, at the same step."""
        if self.count == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=choose_device())
        torch.distributed.all_reduce(summed)
        return [float(value) for value in summed.tolist()]

    def broadcast_from_rank0(self, make: Callable[[], T]) -> T:
        """Return what `make` gives in the first process; the others wait for it. Every process has to call it.

        A `UserError` there is one in every process.
        """
        if self.count == 1:
            return make()
        told: list[Any] = [None, None]
        if self.rank == 0:
            try:
                told[0] = make()
            except UserError as error:
                told[1] = str(error)
        torch.distributed.broadcast_object_list(told, device=choose_device())
        if told[1] is not None:
            raise UserError(told[1])
        return told[0]  # type: ignore[no-any-return]


SINGLE_RANK = Ranks()


def join(wait_minutes: float) -> Ranks:
    """Meet the processes that torchrun started with this one; alone without torchrun.

    From then on a process that waits longer than `wait_minutes` for the others ends with an error.
    """
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        return SINGLE_RANK
    backend = "nccl" if choose_device().type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=timedelta(minutes=wait_minutes))
    return Ranks(int(os.environ["RANK"]), count)
