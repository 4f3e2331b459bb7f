"""The way to an OpenAI-compatible endpoint: its address, its key, and that neither is told to anybody."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from sharegpt4v.errors import UserError

if TYPE_CHECKING:
    import openai


class Connection:
    """An endpoint's address and key; `shown` is the address without user, password and query, fit for logs.

    `api_key_variable` names the environment variable with the key, None for an endpoint that wants no key. A missing
    key or a malformed address is a `UserError`.
    """

    def __init__(self, base_url: str, api_key_variable: str | None) -> None:
        self._base_url = base_url
        self._address = urlsplit(base_url)
        if self._address.scheme not in ("http", "https") or not self._address.hostname:
            raise UserError("base_url is not an address; expected something like https://api.example.org/v1")
        host = self._address.netloc.rpartition("@")[2]
        self.shown = urlunsplit((self._address.scheme, host, self._address.path, "", ""))
        self._api_key = os.environ.get(api_key_variable, "").strip() if api_key_variable else "none"
        if not self._api_key:
            raise UserError(f"${api_key_variable} is not set; put the endpoint's key into this environment variable")

    def open(self, timeout_seconds: float) -> openai.AsyncOpenAI:
        """Return a client of the `openai` package that does not retry by itself."""
        import openai

        # At level INFO it would log every address, which may hold a password; its name depends on openai's version.
        for name in ("httpx", "httpx2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return openai.AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._api_key,
            max_retries=0,
            timeout=timeout_seconds,
            # A proxy named in the environment cannot reach this machine's loopback.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not self.is_local),
        )

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is a server on this machine."""
        return self._address.hostname in ("127.0.0.1", "localhost", "::1")

    def one_line(self, text: str) -> str:
        """Return an endpoint's message fit for files and logs: one line, not long, without the secrets."""
        key = self._api_key if self._api_key != "none" else None
        for secret in (key, self._address.password, self._address.query):
            if secret:
                text = text.replace(secret, "***")
        return " ".join(text.split())[:300]
