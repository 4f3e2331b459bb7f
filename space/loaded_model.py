"""A model that this process loads by transformers: of a Space, which has no server beside it."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any

import torch
from PIL import Image
from transformers import (
    AsyncTextIteratorStreamer,
    AutoModelForImageTextToText,
    AutoProcessor,
    StoppingCriteriaList,
)

from settings import Message, Refused

NOTICE = "Miniature:"  # how the card of a model of the miniature begins


class LoadedModel:
    """A checkpoint of the Hub, or a folder; it answers one question at a time, with the prompt of its chat template."""

    def __init__(self, name: str) -> None:
        gpu = torch.cuda.is_available()
        self.name = name
        self._processor = AutoProcessor.from_pretrained(name)
        dtype = torch.bfloat16 if gpu else torch.float32
        model: Any = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype)
        self._model: Any = model.to("cuda" if gpu else "cpu").eval()
        self._turn = asyncio.Lock()

    async def answer(self, messages: Sequence[Message], most_tokens: int) -> AsyncIterator[str]:
        """Yield the pieces of an answer; leaving ends it."""
        async with self._turn:
            inputs = await asyncio.to_thread(self._inputs, messages)
            streamer = AsyncTextIteratorStreamer(
                self._processor.tokenizer, skip_prompt=True, timeout=None, skip_special_tokens=True
            )
            ended, errors = Event(), list[Exception]()

            def write() -> None:
                try:
                    stop = StoppingCriteriaList([lambda ids, scores, **_: torch.tensor([ended.is_set()] * len(ids))])
                    self._model.generate(
                        **inputs, max_new_tokens=most_tokens, do_sample=False, streamer=streamer, stopping_criteria=stop
                    )
                except Exception as error:
                    errors.append(error)
                    streamer.end()

            writing = Thread(target=write, daemon=True)
            writing.start()
            try:
                async for piece in streamer:
                    yield piece
                if errors:
                    raise Refused(f"the model cannot answer ({errors[0]})")
            finally:
                ended.set()
                await asyncio.to_thread(writing.join)

    def _inputs(self, messages: Sequence[Message]) -> Any:
        turns = [{"role": turn["role"], "content": _parts(turn["content"])} for turn in messages]
        inputs = self._processor.apply_chat_template(
            turns, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        return inputs.to(self._model.device, self._model.dtype)


def _parts(content: str | Sequence[Any]) -> list[dict[str, Any]]:
    """Return the content of a turn as transformers takes it: images decoded."""
    parts: Sequence[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [{"type": "image", "image": _image(part)} if part["type"] == "image_url" else part for part in parts]


def _image(part: Any) -> Image.Image:
    data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
    return Image.open(io.BytesIO(data)).convert("RGB")


def notice_of(name: str) -> str:
    """Return the line of a model's card that says that it is one of the miniature; empty where there is none."""
    from huggingface_hub import hf_hub_download

    try:
        card = Path(name) / "README.md"
        text = card.read_text() if Path(name).is_dir() else Path(hf_hub_download(name, "README.md")).read_text()
    except Exception:  # a model without a card
        return ""
    return next((line.strip("> *_") for line in text.splitlines() if line.strip("> *_").startswith(NOTICE)), "")
