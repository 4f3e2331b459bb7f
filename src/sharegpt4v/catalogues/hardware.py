"""The table `config/hardware.tsv`: what the devices that a run is planned for or runs on can do at most."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.catalogues.rows import read_rows

HARDWARE = Path("config/hardware.tsv")


@dataclass(frozen=True)
class Device:
    """One row: bfloat16 operations per second at most, bytes of memory, bytes per second that it is read with, and the
    names that CUDA has for such a GPU."""

    flops: float
    memory: float
    bandwidth: float
    cuda_names: tuple[str, ...]


@functools.cache
def read_hardware() -> dict[str, Device]:
    """Return the devices by name; a table that is not there is a `UserError`."""
    return {
        row["name"]: Device(
            float(row["bfloat16_tflops"]) * 1e12,
            float(row["memory_gb"]) * 1e9,
            float(row["gb_per_s"]) * 1e9,
            tuple(row["cuda_names"].split("; ")),
        )
        for row in read_rows(HARDWARE)
    }


def device_of_gpu(cuda_name: str) -> Device | None:
    """Return the row of the GPU that CUDA calls so; None when it is not in the table."""
    return next((device for device in read_hardware().values() if cuda_name in device.cuda_names), None)


def flops_of_gpu(cuda_name: str) -> float | None:
    """Return the peak of the GPU that CUDA calls so; None when it is not in the table."""
    device = device_of_gpu(cuda_name)
    return device.flops if device else None
