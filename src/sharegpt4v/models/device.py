"""Where a model runs: the GPU when there is one, else one core of the processor."""

from __future__ import annotations

import os

import torch


def choose_device() -> torch.device:
    """Return the GPU (of several, that of this process, as torchrun counts them), or the CPU (see `one_thread`)."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        return torch.device("cuda", torch.cuda.current_device())
    one_thread()
    return torch.device("cpu")


def one_thread() -> None:
    """Compute on one core, whatever the environment says in `OMP_NUM_THREADS`: with two, weights come out differently.

    Jobs run side by side, one thread each: threads that wait for each other on a busy machine are several times slower.
    """
    torch.set_num_threads(1)
