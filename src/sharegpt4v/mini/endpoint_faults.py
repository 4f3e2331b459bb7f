"""What can go wrong at the mini endpoint: faults injected into replies and batches, and their HTTP responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from starlette.responses import Response


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: late, cut off without a reply, an error status, or an odd reply."""

    delay_seconds: float = 0.0
    drop: bool = False
    status: int = 200
    code: str = "fault"
    message: str = "a fault that was injected"
    retry_after: str | None = None  # seconds or an HTTP date
    headers: Mapping[str, str] = field(default_factory=dict)  # of any reply, such as the endpoint's limits
    text: str | None = None  # in place of the answer, for example a refusal
    usage: Mapping[str, int] | None = None  # tokens in place of words
    spoil: Callable[[bytes], bytes] = bytes  # what becomes of what is sent; in a batch, of a reply among the results
    finish_reason: str = "stop"
    expires_after: int | None = None  # requests of a batch


MAX_TOKENS_REFUSED = Fault(
    status=400,
    code="unsupported_parameter",
    message="Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
    "instead.",
)

BatchFaults = Callable[[str, int], Fault | None]  # upload, create, list, run, poll, content, cancel; its number


def response(fault: Fault, value: Any) -> Response:
    """Return the HTTP response: the value as JSON, or the fault."""
    from starlette.responses import Response

    class Dropped(Response):
        """An answer that breaks off: more bytes are announced than come, so the server closes the connection."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})

    if fault.drop:
        return Dropped()
    headers = dict(fault.headers) | ({} if fault.retry_after is None else {"retry-after": fault.retry_after})
    content = fault.spoil(orjson.dumps(value if fault.status == 200 else error_of(fault)))
    return Response(content, fault.status, headers, "application/json")


def error_of(fault: Fault) -> dict[str, Any]:
    """Return the body of an error."""
    return {"error": {"message": fault.message, "type": fault.code, "param": None, "code": fault.code}}
