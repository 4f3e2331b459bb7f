"""The files of the Batch API: a line per request that goes in, a line per reply or error that comes out."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from sharegpt4v.endpoint.completion import Bound, Part, answer_in, record_of, refusal
from sharegpt4v.endpoint.connection import Connection
from sharegpt4v.endpoint.failure import GOOD, Failure, RequestFailed, code_and_message, may_be_billed
from sharegpt4v.endpoint.request import AnyRequest, Skipped
from sharegpt4v.endpoint.run import Run
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.files import writing

NOT_RUN = 408  # our status for a request that the endpoint did not come to, as in a batch that has expired

Queue = deque[tuple[str, AnyRequest]]  # keys and requests that wait to be submitted


@dataclass(frozen=True)
class Written:
    """What a file of requests holds: what they say of themselves, by key, and the most tokens of all and of one."""

    asked: dict[str, Any]
    bound: Bound
    longest_prompt: int


def write_requests(path: Path, queue: Queue, run: Run, most: int) -> Written:
    """Move up to `most` requests from the queue into a file, as many as its size and the budget allow."""
    asked, total, longest = dict[str, Any](), Bound(0, 0), 0
    with writing(path), open(path, "wb") as file:
        while queue and len(asked) < most:
            key, request = queue[0]
            try:
                line = _line(key, request, run.settings)
            except Skipped as reason:
                run.skip(key, str(reason))
                queue.popleft()
                continue
            bound = run.bound(request)
            more = Bound(total.prompt_tokens + bound.prompt_tokens, total.completion_tokens + bound.completion_tokens)
            if file.tell() + len(line) > run.settings.batch_bytes or not run.account.allows_batch(more):
                break
            file.write(line)
            total, longest = more, max(longest, bound.prompt_tokens)
            asked[key] = request.about()
            queue.popleft()
    return Written(asked, total, longest)


def _line(key: str, request: AnyRequest, settings: ChatSettings) -> bytes:
    line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": settings.chat(request)}
    data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    if len(data) > settings.batch_bytes:
        raise Skipped(f"{request.name}: larger than a file of the Batch API may be")
    return data


class Response(Part):
    """What one request of a batch was answered."""

    status_code: int
    body: Any = None


class Line(Part):
    """A line of a file of results."""

    custom_id: str
    response: Response | None = None
    error: Any = None


@dataclass(frozen=True)
class Result:
    """The result of one request of a batch: a record of the reply, or why there is none."""

    key: str
    record: dict[str, Any] | None
    failure: Failure | None


def read_results(
    content: bytes,
    batch: str,
    asked: Mapping[str, Mapping[str, Any]],
    bound: Bound,
    settings: ChatSettings,
    connection: Connection,
) -> Iterator[Result]:
    """Yield the results in an output file or an error file of the batch of that id.

    `asked` tells what each request says of itself, by key, and `bound` how many tokens any of them can be billed for.
    Lines of other requests, and lines that tell of no request, are left out.
    """
    for raw in io.BytesIO(content):
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:
            continue
        key = value.get("custom_id") if isinstance(value, dict) else None
        if not isinstance(key, str) or key not in asked:
            continue
        record = {**record_of(asked[key], settings, attempts=1), "batch": batch}
        try:
            yield Result(key, record | _answer(value, bound, connection), None)
        except RequestFailed as error:
            failure = error.failure
            if failure.status == GOOD:
                failure = replace(failure, raw=connection.kept(raw))
            yield Result(key, record | refusal(failure), None) if failure.is_refusal else Result(key, None, failure)


def _answer(value: Any, bound: Bound, connection: Connection) -> dict[str, Any]:
    """Return the part of a record that comes from a line's answer; `RequestFailed` when it holds none."""
    try:
        line = Line.model_validate(value)
    except ValidationError:
        raise RequestFailed(Failure(GOOD, "", "the line of its result is no such line", charged=True)) from None
    if line.response and line.response.status_code == GOOD:
        return answer_in(line.response.body, bound, connection)
    status = line.response.status_code if line.response else NOT_RUN
    code, message = code_and_message((line.response and line.response.body) or line.error or {})
    failure = Failure(status, connection.one_line(code), connection.one_line(message), may_be_billed(status))
    raise RequestFailed(failure)
