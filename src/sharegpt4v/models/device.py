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
    """Compute on one core, unless the environment sets `OMP_NUM_THREADS`.

    Jobs run side by side, one thread each: threads that wait for each other on a busy machine are several times
    slower, and with one thread sums come out the same on machines with more or fewer cores.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
