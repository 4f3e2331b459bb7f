"""A vLLM server as the engine `vllm` starts it, asked as anyone would ask it, for as long as a block lasts."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from sharegpt4v.config.generation import Vllm
from sharegpt4v.errors import UserError
from sharegpt4v.serving.vllm_server import vllm_server

NAME = "checkpoint"
SECONDS = 600  # of one request


class VllmServer:
    """Serves a checkpoint's folder on a free port of the loopback address, until the block ends."""

    def __init__(self, model: Path, settings: Vllm, on_gpu: bool = False) -> None:
        """Take the folder of a checkpoint; nothing is started before the block begins."""
        self.model, self.settings, self.on_gpu = model, settings, on_gpu
        never = json.loads((model / "generation_config.json").read_text()).get("suppress_tokens") or ()
        self.logit_bias = {str(token): -100 for token in never}  # vLLM does not read this setting by itself

    def __enter__(self) -> VllmServer:
        """Start the server, and wait until it answers."""
        with ExitStack() as held:
            folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="vllm-")))
            self.server = vllm_server(self.model, NAME, self.settings, folder, folder / "log", self.on_gpu)
            held.callback(self.server.stop)
            self.server.start()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._held.close()

    def ask(self, conversations: Sequence[Sequence[Mapping[str, Any]]], max_tokens: int) -> list[tuple[str, str]]:
        """Complete all conversations greedily, many at once; return texts and finish reasons in order."""
        with (
            httpx.Client(timeout=SECONDS, limits=httpx.Limits(), trust_env=False) as client,
            ThreadPoolExecutor(self.settings.sequences) as pool,
        ):

            def complete(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
                asked = {"model": NAME, "messages": messages, "temperature": 0, "max_tokens": max_tokens}
                asked["logit_bias"] = self.logit_bias
                reply = client.post(f"{self.server.base_url}/chat/completions", json=asked)
                if reply.is_error:
                    raise UserError(f"vLLM answers {reply.status_code}: {reply.text[:500]}")
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
