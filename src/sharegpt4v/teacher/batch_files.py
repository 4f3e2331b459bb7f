"""The files of the Batch API: a line per request that goes in, a line per reply or error that comes out."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sharegpt4v.teacher.connection import Connection
from sharegpt4v.teacher.reply import Failure, answer_of, record_of, refusal
from sharegpt4v.teacher.request import AnyRequest, SetAside
from sharegpt4v.teacher.run import Run
from sharegpt4v.teacher.settings import TeacherSettings

NOT_RUN = 408  # our status for a request that the endpoint did not come to, as in a batch that has expired

Queue = deque[tuple[str, AnyRequest]]  # keys and requests that wait to be handed in


def write_requests(path: Path, queue: Queue, run: Run, most: int) -> tuple[dict[str, Any], int]:
    """Move up to `most` requests from the queue into a file, as many as its size and the budget allow.

    Return what they say of themselves, by key, and the tokens of all their prompts at most.
    """
    asked, prompt_tokens = dict[str, Any](), 0
    with open(path, "wb") as file:
        while queue and len(asked) < most:
            key, request = queue[0]
            try:
                line = _line(key, request, run.settings)
            except SetAside as reason:
                run.leave(key, str(reason))
                queue.popleft()
                continue
            tokens = prompt_tokens + run.tokens.prompt(request)
            usd = run.purse.most(tokens, (len(asked) + 1) * run.settings.max_tokens, batch=True)
            if file.tell() + len(line) > run.settings.batch_bytes or not run.purse.allows(usd):
                break
            file.write(line)
            prompt_tokens = tokens
            asked[key] = request.about()
            queue.popleft()
    return asked, prompt_tokens


def _line(key: str, request: AnyRequest, settings: TeacherSettings) -> bytes:
    line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": settings.chat(request)}
    data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    if len(data) > settings.batch_bytes:
        raise SetAside(f"{request.name}: larger than a file of the Batch API may be")
    return data


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
    settings: TeacherSettings,
    connection: Connection,
) -> Iterator[Result]:
    """Yield the results in an output file or an error file of the batch of that id.

    `asked` tells what each request says of itself, by key; lines of other requests are left out.
    """
    for line in io.BytesIO(content):
        try:
            row = orjson.loads(line)
            key, response, error = row["custom_id"], row.get("response") or {}, row.get("error") or {}
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            continue  # the request whose line this was is asked again
        if key not in asked:
            continue
        record = {**record_of(asked[key], settings, attempts=1), "batch": batch}
        status, body = response.get("status_code", NOT_RUN), response.get("body") or {}
        if status == 200:
            try:
                yield Result(key, record | answer_of(body), None)
            except SetAside as reason:
                yield Result(key, None, Failure(NOT_RUN, "", str(reason)))
            continue
        told = (body.get("error") or error) if isinstance(body, dict) else error
        code = f"{told.get('code')} {told.get('type')}"
        failure = Failure(status, code, connection.one_line(str(told.get("message"))))
        yield Result(key, record | refusal(failure), None) if failure.is_refusal else Result(key, None, failure)
