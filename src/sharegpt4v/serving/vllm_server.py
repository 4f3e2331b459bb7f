"""vLLM as a job's own server: where it is installed, and how it serves a checkpoint as this project trained it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

from sharegpt4v.config.generation import Vllm
from sharegpt4v.errors import UserError
from sharegpt4v.project import PROJECT
from sharegpt4v.serving.server import Server

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": "",
}
IMAGES_AS_TRAINED = '{"backend": "pil"}'  # else torchvision resizes, and up to two of 255 levels differ


def vllm_python() -> Path:
    """Return the Python that has vLLM: of `make vllm`, or this one; a `UserError` where neither has it."""
    own = PROJECT / ".venv-vllm/bin/python"
    if own.is_file():
        return own
    if importlib.util.find_spec("vllm"):
        return Path(sys.executable)
    raise UserError(f"vLLM is not installed: no {own}; run `make vllm`, on NVIDIA GPUs `make vllm GPU=1`")


def vllm_version() -> str | None:
    """Return the version of vLLM of `make vllm`, or else of this Python; None where there is none."""
    own = [str(folder) for folder in (PROJECT / ".venv-vllm").glob("lib/python3.*/site-packages")]
    for paths in ([own] if own else []) + [sys.path]:
        for name in ("vllm", "vllm-cpu"):
            for found in distributions(name=name, path=paths):
                return found.version
    return None


def vllm_server(model: Path, name: str, settings: Vllm, images: Path, log: Path, on_gpu: bool) -> Server:
    """Return the server of the checkpoint `model` under `name`; nothing is started yet.

    It reads image files below the folder `images` alone. On a GPU it computes in bfloat16, else in float32, as the
    engine `local` does.
    """
    python = vllm_python()
    environment = ENVIRONMENT | ({"VLLM_BATCH_INVARIANT": "1"} if on_gpu and settings.deterministic else {})

    def command(port: int) -> Sequence[str]:
        return [
            str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model.resolve()),
            "--served-model-name", name, *arguments(settings, on_gpu),
            "--allowed-local-media-path", str(images.resolve()), "--host", "127.0.0.1", "--port", str(port),
        ]  # fmt: skip

    return Server(name, command, environment, log, 60 * settings.start_minutes)


def arguments(settings: Vllm, on_gpu: bool) -> list[str]:
    """Return the arguments that decide what is answered, and how much at a time."""
    longest = settings.longest_tokens
    return [
        "--dtype", "bfloat16" if on_gpu else "float32",
        "--max-num-seqs", str(settings.sequences),
        "--tensor-parallel-size", str(settings.tensor_parallel),
        "--limit-mm-per-prompt", '{"image": 1}', "--mm-processor-kwargs", IMAGES_AS_TRAINED,
        "--mm-processor-cache-gb", "0",  # every image is asked about once
        "--seed", "0", "--no-enable-prefix-caching",
        *(["--max-model-len", str(longest)] if longest else []), *([] if on_gpu else ["--enforce-eager"]),
        *settings.arguments,
    ]  # fmt: skip
