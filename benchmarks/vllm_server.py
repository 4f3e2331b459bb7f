"""A vLLM server on this machine, for as long as a block lasts: by default the CPU build that `make vllm` installs."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

PYTHON = Path(__file__).resolve().parents[1] / ".venv-vllm" / "bin" / "python"
NAME = "checkpoint"
OPTIONS = {
    "--served-model-name": NAME,
    "--dtype": "float32",
    "--max-model-len": "1024",
    "--limit-mm-per-prompt": '{"image": 1}',
    "--max-num-seqs": "64",
    "--mm-processor-kwargs": '{"backend": "pil"}',  # else torchvision resizes, and up to two of 255 levels differ
}
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": "",
}
START_SECONDS, STOP_SECONDS = 600, 30


class VllmServer:
    """Serves a checkpoint's folder on a free port of the loopback address, until the block ends."""

    def __init__(self, model: Path, python: Path = PYTHON, options: Mapping[str, str] = {}, at_once: int = 64) -> None:
        """Take the folder of a checkpoint; nothing is started before the block begins.

        `options` go over `OPTIONS`, with "" for one that has no value; `at_once` requests are sent at a time.
        """
        self.model, self.python, self.at_once = model.resolve(), python, at_once
        self.options = OPTIONS | dict(options)
        settings = json.loads((model / "generation_config.json").read_text())
        # vLLM does not read this setting by itself.
        self.logit_bias = {str(token): -100 for token in settings.get("suppress_tokens", ())}

    def __enter__(self) -> VllmServer:
        """Start the server in a process group of its own, and wait until it answers."""
        if not self.python.is_file():
            raise SystemExit(f"{self.python}: no such file; `make vllm` installs vLLM")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        command = [str(self.python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model)]
        command += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--no-enable-prefix-caching"]
        command += [word for option in self.options.items() for word in option if word]
        self.log = tempfile.NamedTemporaryFile(prefix="vllm-", suffix=".log")
        self.process = subprocess.Popen(
            command, env=os.environ | SETTINGS, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            start_new_session=True,
        )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the whole group: vLLM leaves workers behind when only its first process is killed."""
        for end in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, end)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        self.log.close()

    def ask(self, conversations: Sequence[Sequence[Mapping[str, Any]]], max_tokens: int) -> list[tuple[str, str]]:
        """Complete all conversations greedily, many at once; return texts and finish reasons in order."""
        with (
            httpx.Client(timeout=START_SECONDS, limits=httpx.Limits()) as client,
            ThreadPoolExecutor(self.at_once) as pool,
        ):

            def complete(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
                asked = {"model": NAME, "messages": messages, "temperature": 0, "max_tokens": max_tokens}
                asked["logit_bias"] = self.logit_bias
                reply = client.post(f"{self.address}/v1/chat/completions", json=asked)
                if reply.is_error:
                    raise SystemExit(f"vLLM answers {reply.status_code}: {reply.text[:500]}")
                choice = reply.json()["choices"][0]
                return choice["message"]["content"], choice["finish_reason"]

            return list(pool.map(complete, conversations))

    @staticmethod
    def image_part(image: Image.Image) -> dict[str, object]:
        """An image as a part of a message: a data URL that holds its exact pixels."""
        file = io.BytesIO()
        image.save(file, "PNG")
        return {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"},
        }

    def _wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.address}/health", timeout=5).is_success:
                    return
            if self.process.poll() is not None or time.monotonic() > until:
                said = Path(self.log.name).read_text(errors="replace")
                raise SystemExit(f"vLLM's server did not start; the end of what it said:\n{said[-4000:]}")
            time.sleep(0.5)
