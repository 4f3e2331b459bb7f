"""OpenAI's Batch API: files of requests go up, batches are made of them, files of results come down.

Whatever the endpoint answers is checked by its type; `RequestFailed` where that does not fit.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

from annotated_types import MaxLen
from pydantic import Field, ValidationError

from sharegpt4v.endpoint.completion import MOST_PARTS, Part
from sharegpt4v.endpoint.connection import LONGEST_BODY, Connection
from sharegpt4v.endpoint.failure import GOOD, Failure, RequestFailed

NAME = "sharegpt4v"  # the key of a batch's metadata that holds its name
ENDED = ("completed", "failed", "expired", "cancelled")
MOST_PAGES = 50  # of the list of batches, 100 on each
BYTES_PER_TOKEN = 32  # of a reply in a file of results, its escapes counted
BYTES_AROUND = 4096  # of a reply there

Id = Annotated[str, Field(min_length=1, max_length=200)]


class Uploaded(Part):
    """A file that the endpoint has taken."""

    id: Id


class BatchError(Part):
    """Why a batch has failed."""

    code: str | None = None
    message: str | None = None


class BatchErrors(Part):
    """All reasons."""

    data: Annotated[list[BatchError], MaxLen(MOST_PARTS)] | None = None


class Counts(Part):
    """How many requests of a batch were carried out."""

    completed: int = Field(ge=0)
    failed: int = Field(ge=0)


class Batch(Part):
    """A batch as the endpoint tells of it."""

    id: Id
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    created_at: float | None = None
    input_file_id: Id | None = None
    output_file_id: Id | None = None
    error_file_id: Id | None = None
    errors: BatchErrors | None = None
    metadata: dict[str, str] | None = None
    request_counts: Counts | None = None


class Page(Part):
    """Some batches, the newest first."""

    data: Annotated[list[Batch], MaxLen(MOST_PARTS)]
    has_more: bool = False


Answered = TypeVar("Answered", bound=Part)


class BatchApi:
    """The calls of the Batch API that are used."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def upload(self, name: str, path: Path) -> str:
        """Send a file of requests; return its id."""
        import aiohttp

        with open(path, "rb") as file:
            form = aiohttp.FormData({"purpose": "batch"})
            form.add_field("file", file, filename=f"{name}.jsonl", content_type="application/jsonl")
            answer = await self.connection.request("POST", "files", file_bytes=path.stat().st_size, data=form)
        return self._read(Uploaded, answer.body).id

    async def create(self, name: str, file: str) -> str:
        """Make a batch of a file; return its id."""
        asked = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        answer = await self.connection.request("POST", "batches", asked | {"metadata": {NAME: name}})
        return self._fit_to_keep(self._read(Batch, answer.body).id)

    async def retrieve(self, batch: str) -> Batch:
        """Return a batch."""
        return self._read(Batch, (await self.connection.request("GET", f"batches/{quote(batch, safe='')}")).body)

    async def find(self, names: Collection[str], since: float) -> dict[str, str]:
        """Return the ids of those of these batches, made after `since`, that the endpoint knows."""
        found, after = dict[str, str](), dict[str, str]()
        for _ in range(MOST_PAGES):
            answer = await self.connection.request("GET", "batches", params={"limit": "100", **after})
            page = self._read(Page, answer.body)
            for batch in page.data:
                if (name := (batch.metadata or {}).get(NAME, "")) in names:
                    found[name] = self._fit_to_keep(batch.id)
            ends = not page.has_more or not page.data or (page.data[-1].created_at or since) < since
            if ends or len(found) == len(names):
                break
            after = {"after": page.data[-1].id}
        return found

    async def cancel(self, batch: str) -> None:
        """Ask for a batch's end."""
        await self.connection.request("POST", f"batches/{quote(batch, safe='')}/cancel")

    async def content(self, file: str, requests: int, max_tokens: int) -> bytes:
        """Return the content of a file of results of so many requests."""
        longest = LONGEST_BODY + 1 + requests * (BYTES_AROUND + BYTES_PER_TOKEN * max_tokens)
        return (await self.connection.request("GET", f"files/{quote(file, safe='')}/content", longest=longest)).body

    async def delete(self, file: str) -> None:
        """Delete a file."""
        await self.connection.request("DELETE", f"files/{quote(file, safe='')}")

    def _fit_to_keep(self, batch: str) -> str:
        """Return the id of a batch, which is kept as it is; an endpoint that puts the key into it is refused."""
        if self.connection.redacted(batch) != batch:
            raise RequestFailed(Failure(GOOD, "", "the id of a batch holds the key", charged=False))
        return batch

    def _read(self, kind: type[Answered], body: bytes) -> Answered:
        try:
            return kind.model_validate_json(body, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))
            message = self.connection.one_line(f"the answer is no {kind.__name__.lower()} ({place}: {first['msg']})")
            raise RequestFailed(Failure(GOOD, "", message, charged=False, raw=self.connection.kept(body))) from None
