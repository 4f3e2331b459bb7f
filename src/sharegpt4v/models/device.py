"""Where a model runs: the GPU when there is one, else one core of the processor."""

from __future__ import annotations

import os

import torch


def choose_device() -> torch.device:
    """Return the GPU, or the CPU with one thread (see `one_thread`)."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    one_thread()
    return torch.device("cpu")


def one_thread() -> None:
    """Compute on one core, unless the environment sets `OMP_NUM_THREADS`.

    Jobs run side by side, one thread each: threads that wait for each other on a busy machine are several times
    slower, and with one thread sums come out the same on machines with more or fewer cores.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
