"""The Batch API of the mini endpoint: files of requests go in, batches of them are carried out, files come out.

It keeps the rules of OpenAI's that a client can break: the size of a file, one id per request, the order of events. It
forgets everything when the server ends.
"""

from __future__ import annotations

import asyncio
import email
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson

from sharegpt4v.mini.endpoint_faults import BatchFaults, Fault, error_of, response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
NOT_FOUND = Fault(status=404, code="not_found", message="there is no such thing")

Reply = Callable[[Any], Awaitable[tuple[Fault, dict[str, Any]]]]  # body of a chat request → what goes wrong, or answer


class BatchDesk:
    """The files and batches of one server, in the order they came. `reply` answers one chat request."""

    def __init__(self, reply: Reply, faults: BatchFaults | None) -> None:
        self.reply, self.faults = reply, faults
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.events: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """Return the addresses of the Batch API."""
        from starlette.routing import Route

        return [
            Route("/v1/files", self.upload, methods=["POST"]),
            Route("/v1/files/{id}", self.delete, methods=["DELETE"]),
            Route("/v1/files/{id}/content", self.content),
            Route("/v1/batches", self.create, methods=["POST"]),
            Route("/v1/batches", self.list),
            Route("/v1/batches/{id}", self.poll),
            Route("/v1/batches/{id}/cancel", self.cancel, methods=["POST"]),
        ]

    async def upload(self, request: Request) -> Response:
        """Take a file, which comes as a form."""
        head = f"content-type: {request.headers['content-type']}\n\n".encode()
        form = email.message_from_bytes(head + await request.body())
        parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}  # type: ignore[union-attr]
        file = self._add_file(parts["file"].get_payload(decode=True))  # type: ignore[union-attr,arg-type]
        return response(self._fault("upload"), self._about_file(file))

    async def delete(self, request: Request) -> Response:
        """Delete a file."""
        file = request.path_params["id"]
        known = self.files.pop(file, None) is not None
        return response(Fault() if known else NOT_FOUND, {"id": file, "object": "file", "deleted": True})

    async def content(self, request: Request) -> Response:
        """Give back a file."""
        from starlette.responses import Response

        if (data := self.files.get(request.path_params["id"])) is None:
            return response(NOT_FOUND, None)
        fault = self._fault("content")
        return response(fault, None) if fault.drop or fault.status != 200 else Response(fault.spoil(data))

    async def create(self, request: Request) -> Response:
        """Make a batch of a file and begin with it."""
        asked = orjson.loads(await request.body())
        if asked["input_file_id"] not in self.files:
            return response(NOT_FOUND, None)
        batch = {
            "id": f"batch_{len(self.batches) + 1}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "metadata": asked.get("metadata"),
            "status": "validating",
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "created_at": int(time.time()),
        }
        self.batches[batch["id"]] = batch
        task = asyncio.create_task(self._run(batch, self._fault("run")))
        self.tasks.add(task)  # a task that nobody holds may be collected
        task.add_done_callback(self.tasks.discard)
        return response(self._fault("create"), batch)

    async def list(self, request: Request) -> Response:
        """Tell of the batches, the latest first, a page at a time."""
        newest = list(reversed(self.batches))
        after, limit = request.query_params.get("after"), int(request.query_params.get("limit", 20))
        start = newest.index(after) + 1 if after else 0
        page = newest[start : start + limit]
        more = start + limit < len(newest)
        return response(
            self._fault("list"), {"object": "list", "data": [self.batches[name] for name in page], "has_more": more}
        )

    async def poll(self, request: Request) -> Response:
        """Return a batch."""
        batch = self.batches.get(request.path_params["id"])
        return response(NOT_FOUND if batch is None else self._fault("poll"), batch)

    async def cancel(self, request: Request) -> Response:
        """End a batch early; what it has got is kept."""
        batch = self.batches.get(request.path_params["id"])
        if batch and batch["status"] in ("validating", "in_progress"):
            batch["status"] = "cancelling"
        return response(NOT_FOUND if batch is None else self._fault("cancel"), batch)

    async def _run(self, batch: dict[str, Any], fault: Fault) -> None:
        """Carry a batch out, request by request."""
        await asyncio.sleep(fault.delay_seconds)
        data = self.files[batch["input_file_id"]]
        lines = [orjson.loads(line) for line in data.splitlines()]
        if fault.status != 200 or len(lines) > MOST_REQUESTS or len(data) > MOST_BYTES or _double(lines):
            told = {"code": fault.code, "message": fault.message, "line": None, "param": None}
            batch |= {"status": "failed", "errors": {"object": "list", "data": [told]}}
            return
        if batch["status"] == "validating":
            batch["status"] = "in_progress"
        batch["request_counts"]["total"] = len(lines)
        good, bad = bytearray(), bytearray()
        end = "completed"
        for number, line in enumerate(lines):
            if batch["status"] == "cancelling" or number == fault.expires_after:
                end = "cancelled" if batch["status"] == "cancelling" else "expired"
                for left in lines[number:]:
                    bad += _result(left, None, {"code": f"batch_{end}", "message": "this request was not carried out"})
                break
            wrong, answer = await self.reply(line["body"])
            status = 500 if wrong.drop else wrong.status
            file = good if status == 200 else bad
            body = orjson.Fragment(wrong.spoil(orjson.dumps(answer or error_of(wrong))))
            file += _result(line, {"status_code": status, "body": body}, None)
            batch["request_counts"]["completed" if status == 200 else "failed"] += 1
            await asyncio.sleep(0)
        files = {name: self._add_file(bytes(data)) for name, data in (("output", good), ("error", bad)) if data}
        batch |= {f"{name}_file_id": file for name, file in files.items()} | {"status": end}

    def _fault(self, event: str) -> Fault:
        self.events[event] += 1
        return (self.faults(event, self.events[event]) if self.faults else None) or Fault()

    def _add_file(self, data: bytes) -> str:
        name = f"file-{self.events['file'] + 1}"
        self.events["file"] += 1
        self.files[name] = data
        return name

    def _about_file(self, file: str) -> dict[str, Any]:
        about = {"id": file, "object": "file", "bytes": len(self.files[file]), "created_at": int(time.time())}
        return about | {"filename": "requests.jsonl", "purpose": "batch", "status": "processed"}


def _double(lines: list[dict[str, Any]]) -> bool:
    """Say whether two requests have one id."""
    return len({line["custom_id"] for line in lines}) < len(lines)


def _result(line: dict[str, Any], answer: dict[str, Any] | None, error: dict[str, Any] | None) -> bytes:
    row = {"id": "batch_req", "custom_id": line["custom_id"], "response": answer, "error": error}
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
