"""A model at an OpenAI-compatible address, whose answers come in pieces."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from settings import Message, Refused

SECONDS = 600.0  # for the next piece: a model on a laptop reads a long prompt slowly
LONGEST_ERROR = 300  # characters


class ServedModel:
    """A model at an address; `key` is empty where none is needed."""

    def __init__(self, base_url: str, name: str, key: str = "") -> None:
        self.name = name
        self._address, self._key = base_url.rstrip("/"), key
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A proxy that the environment names cannot reach this machine's loopback.
        self._trust_env = urlsplit(base_url).hostname not in ("127.0.0.1", "localhost", "::1")

    async def answer(self, messages: Sequence[Message], most_tokens: int) -> AsyncIterator[str]:
        """Yield the pieces of an answer; `Refused` for a server that is away or refuses. Leaving ends it there."""
        body = {"model": self.name, "messages": messages, "max_tokens": most_tokens, "temperature": 0, "stream": True}
        client = httpx.AsyncClient(timeout=SECONDS, trust_env=self._trust_env, headers=self._headers)
        try:
            async with client, client.stream("POST", f"{self._address}/chat/completions", json=body) as response:
                if not response.is_success:
                    raise self._refused(response.status_code, await response.aread())
                if response.headers.get("content-type", "").startswith("application/json"):  # it does not stream
                    yield self._piece((await response.aread()).decode(errors="replace"))
                async for line in response.aiter_lines():
                    if line.startswith("data:") and (piece := self._piece(line.removeprefix("data:").strip())):
                        yield piece
        except httpx.HTTPError as error:
            raise Refused(f"the model's server cannot be asked ({str(error) or type(error).__name__})") from None

    def _piece(self, event: str) -> str:
        """Return what an event adds to the answer."""
        if event == "[DONE]":
            return ""
        try:
            said = json.loads(event)
            if "error" in said:
                raise self._refused(200, event.encode())
            if not (choices := said["choices"]):
                return ""  # the count of tokens
            return str((choices[0].get("delta") or choices[0].get("message") or {}).get("content") or "")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise Refused("the model's server answered with something that is no chat completion") from None

    def _refused(self, status: int, content: bytes) -> Refused:
        """Return what a server says of an error, without the key and not long."""
        text = content.decode(errors="replace")
        try:
            said: Any = json.loads(text)
            error = said.get("error", said) if isinstance(said, dict) else said
            text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
        except ValueError:
            pass
        if self._key:
            text = text.replace(self._key, "***")
        return Refused((text if status in (200, 400) else f"{status} {text}")[:LONGEST_ERROR])
