"""What computes here: the versions of what models run with, the GPUs, their driver, and which attention they take."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from sharegpt4v.config import Config
from sharegpt4v.doctor.finding import Finding
from sharegpt4v.serving.vllm_server import vllm_version

OPTIONAL = ("deepspeed", "flash-attn", "bitsandbytes")
"""Packages without which a model still runs: on one GPU, with another attention, with AdamW in 32 bits."""


def version_findings(config: Config) -> Iterator[Finding]:
    """Yield a line each. What can lack is vLLM where the config asks it, and a GPU that this PyTorch does not see."""
    for package in OPTIONAL:
        yield Finding(package, _version(package) or "not installed")
    vllm, asked = vllm_version(), "vllm" in (config.captions.engine, config.benchmarks.engine)
    remedy = "the config's engine is vllm: `make vllm`, on NVIDIA GPUs `make vllm GPU=1`, or engine: local"
    yield Finding("vLLM", vllm or "not installed (`make vllm`)", remedy if asked and not vllm else None)
    import torch

    cuda, driver = torch.version.cuda, _driver()
    unseen = driver is not None and not torch.cuda.is_available()
    remedy = "this PyTorch does not see the GPUs: run `make setup GPU=1`, and see that the driver serves its CUDA"
    yield Finding("GPU driver", driver or "none (no nvidia-smi that answers)", remedy if unseen else None)
    yield Finding("CUDA", f"{cuda}, as PyTorch is built" if cuda else "none: PyTorch is built for CPUs")
    devices = range(torch.cuda.device_count())
    for device in devices:
        found = torch.cuda.get_device_properties(device)
        yield Finding(f"GPU {device}", f"{found.name}, {found.total_memory / 1e9:.0f} GB")
    if not devices:
        yield Finding("GPU", "none here: models run on the CPU")
    yield Finding("attention", _attention(config.compute.attention, bool(devices)))
    yield Finding("NCCL", ".".join(map(str, torch.cuda.nccl.version())) if cuda else "none: for CUDA only")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _driver() -> str | None:
    """Return the version of NVIDIA's driver; None where there is none, or it serves no GPU."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    return told[0].strip() if told else None


def _attention(asked: str, gpus: bool) -> str:
    """Say what trainings take where `compute.attention` leaves it to the machine, or what it asks for."""
    if asked != "auto":
        return f"{asked}, as compute.attention says"
    if not gpus:
        return "sdpa, PyTorch's: no GPU"
    return "flash" if _version("flash-attn") else "flex, PyTorch's: flash-attn is not installed"
