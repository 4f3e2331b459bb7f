"""What a process of DeepSpeed's ZeRO trains, by parameter, so that its state is saved and restored as `state` does.

ZeRO-2 cuts the parameters of an optimiser's group, laid end to end, into one part for each process. ZeRO-3 cuts every
parameter by itself, and fills up the last part. Both keep a float32 copy of their part, which the optimiser steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sharegpt4v.training.state import Fragment


def zero_fragments(model: torch.nn.Module, zero: Any) -> list[Fragment]:
    """Return what of the trained parameters of `model` the optimiser `zero` of this process holds."""
    trained = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    return [found for name, one in trained if (found := (_of_3 if _is_3(zero) else _of_2)(name, one, zero))]


def _is_3(zero: Any) -> bool:
    return hasattr(zero, "fp32_partitioned_groups_flat")


def _of_2(name: str, parameter: Any, zero: Any) -> Fragment | None:
    if (here := parameter._hp_mapping) is None:
        return None
    part, place = here.lp_fragment_address, here.hp_fragment_address
    owner = zero.single_partition_of_fp32_groups[here.param_group_index]
    return Fragment(name, part.start, part.numel, owner, place.start)


def _of_3(name: str, parameter: Any, zero: Any) -> Fragment | None:
    group, offset, count = zero.grad_position[zero.get_param_id(parameter)]
    start = count * torch.distributed.get_rank()
    filled = min(count, parameter.ds_numel - start)
    owner = zero.fp32_partitioned_groups_flat[group]
    return Fragment(name, start, filled, owner, offset) if filled > 0 else None


@contextmanager
def restoring_zero(zero: Any) -> Iterator[None]:
    """Let the float32 parts and moments of `zero` be set in the block; then give the model's weights their values."""
    if not _is_3(zero):
        yield
        zero.update_lp_params()
        return
    zero.checkpoint_event_prologue()  # every weight is divided again, also what is kept whole
    zero._set_fp32_optimizer_param_groups()  # it has none between the steps
    yield
    zero._clear_fp32_optimizer_param_groups()
    for master, weights, parameters in zip(
        zero.fp32_partitioned_groups_flat,
        zero.fp16_partitioned_groups_flat,
        zero.fp16_partitioned_groups,
        strict=True,
    ):
        weights.data.copy_(master.data)
        for one, values in zip(parameters, zero.unflatten(weights, parameters), strict=True):
            one.data = values.data
    zero.checkpoint_event_epilogue()
