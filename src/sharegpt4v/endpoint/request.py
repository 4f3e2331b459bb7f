"""One question to the teacher or the judge, in the form of the chat completions protocol."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from sharegpt4v.image_paths import inside


@lru_cache(maxsize=64)  # a run has a handful of prompts and asks this for every image
def prompt_hash(text: str) -> str:
    """Return the 16 hexadecimal digits under which a rendered prompt is known in ledgers and provenance."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class AnyRequest(Protocol):
    """What the client needs of a request: `name` for messages, `identity` for the ledger's key, and its size:
    `text_bytes` as `bytes_of` counts them, and whether it has an image."""

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> tuple[Any, ...]: ...

    @property
    def text_bytes(self) -> int: ...

    @property
    def has_image(self) -> bool: ...

    def about(self) -> dict[str, Any]:
        """Return what the record of the reply says of the request."""

    def messages(self, detail: str) -> list[dict[str, Any]]:
        """Return the turns to send; `detail` is how finely an image is to be looked at."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question about one image: the file `image` below the folder `data`, which should hold what `sha256` says."""

    image: str
    data: Path
    source: str
    sha256: str
    prompt: str

    @property
    def name(self) -> str:
        return self.image

    @property
    def identity(self) -> tuple[Any, ...]:
        return self.sha256, prompt_hash(self.prompt)

    @property
    def text_bytes(self) -> int:
        return bytes_of(self.prompt)

    @property
    def has_image(self) -> bool:
        return True

    def about(self) -> dict[str, Any]:
        """Return the image, its content, the prompt's hash and the source."""
        hashes = {"image_sha256": self.sha256, "prompt_hash": prompt_hash(self.prompt)}
        return {"image": self.image, **hashes, "source": self.source}

    def messages(self, detail: str) -> list[dict[str, Any]]:
        """Return the one user turn."""
        return [{"role": "user", "content": content_of(self, detail)}]


@dataclass(frozen=True)
class TextRequest:
    """One question without an image; `run` tells the same question apart where it is asked more than once."""

    name: str
    prompt: str
    system: str | None = None
    run: int = 0

    @property
    def identity(self) -> tuple[Any, ...]:
        return "text", prompt_hash(self.prompt), self.system, self.run

    @property
    def text_bytes(self) -> int:
        return bytes_of(self.prompt) + bytes_of(self.system or "")

    @property
    def has_image(self) -> bool:
        return False

    def about(self) -> dict[str, Any]:
        """Return the name, the prompt's hash and the run."""
        return {"name": self.name, "prompt_hash": prompt_hash(self.prompt), "run": self.run}

    def messages(self, detail: str) -> list[dict[str, Any]]:
        """Return the system turn, if there is one, and the user turn."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.prompt}]


def bytes_of(text: str) -> int:
    """Return the bytes of a text in UTF-8: the most that a tokenizer sees of it, as some normalise to NFC first.

    NFC may lengthen a text, three times at most.
    """
    return max(len(text.encode()), len(unicodedata.normalize("NFC", text).encode()))


class Skipped(Exception):
    """This image gets no reply in this run; the message is the reason."""


class BrokenImage(Skipped):
    """The image cannot be sent: that says nothing about the endpoint, however many follow each other."""


def content_of(request: Request, detail: str) -> list[dict[str, Any]]:
    """Return the user turn: the prompt, and the file's own bytes as a data URL."""
    path = inside(request.data, request.image)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Skipped(f"{path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(data).hexdigest() != request.sha256:
        raise Skipped(f"{path}: not the file of the manifest (other SHA-256); make the manifest again")
    if (mime := image_mime(data)) is None:
        raise Skipped(f"{path}: neither JPEG, PNG, GIF nor WebP")
    url = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    return [
        {"type": "text", "text": request.prompt},
        {"type": "image_url", "image_url": {"url": url, "detail": detail}},
    ]


def image_mime(data: bytes) -> str | None:
    """Return the MIME type by content, not by suffix; None for formats that the endpoints do not take."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None
