"""No reply of an endpoint ends a run, is lost, or reaches a file that cannot be read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import KEY, KEY_VARIABLE, clear, many_runs, questions, quick, run
from harness import Outcomes
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.quality import reject_reason
from sharegpt4v.endpoint.account import reservations_path
from sharegpt4v.files import read_jsonl
from sharegpt4v.ledger import Ledger
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault
from spoiling import ODD_VALUES, Place, changed, spoiled_at

DEEP = b"[" * 900 + b"]" * 900
VERY_DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
PARTS = [{"type": "text", "text": "A text "}, {"type": "text", "text": "in parts."}]
PLACES: list[Place] = [
    (), ("choices",), ("choices", 0), ("choices", 0, "message"), ("choices", 0, "message", "content"),
    ("choices", 0, "message", "refusal"), ("choices", 0, "finish_reason"), ("model",), ("usage",),
    ("usage", "prompt_tokens"), ("usage", "completion_tokens"), ("id",), ("error",),
]  # fmt: skip


@st.composite
def spoilers(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """What becomes of a good reply: other values in some places, other bytes, or nothing of it."""
    kind = draw(st.sampled_from(["values"] * 6 + ["cut", "bytes", "byte", "constant"]))
    if kind == "values":
        places = draw(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from([..., *ODD_VALUES])), max_size=3))

        return lambda body: spoiled_at(places, body)
    if kind == "cut":
        length = draw(st.integers(0, 300))
        return lambda body: body[:length]
    if kind == "byte":
        position, byte = draw(st.integers(0, 250)), draw(st.binary(min_size=1, max_size=1))
        return lambda body: body[:position] + byte + body[position + 1 :]
    constant = draw(
        st.binary(max_size=100)
        if kind == "bytes"
        else st.sampled_from([
            b"", b"null", b"[]", b"<html>502 Bad Gateway</html>", b"\xff\xfe{\0}\0", DEEP, VERY_DEEP, b"9" * 10_000,
            b'{"error":{"message":"no credit","code":402}}', b'{"choices":[{"message":{"content":' + DEEP + b"}}]}",
            b'{"choices":[{"message":{"content":"\\u0073k-faults\\/0123456789abcdef"},"finish_reason":"stop"}]}',
            b'{"choices":"\\u0073k-faults\\/0123456789abcdef"}', b'"' + b"x" * 5_000_000 + b'"',
        ])
    )  # fmt: skip
    return lambda body: constant


class Spoiled:
    """A server whose replies to each question are spoiled in the order given, and then are good."""

    def __init__(self) -> None:
        self.orders: dict[str, list[Fault]] = {}
        self.sent: list[Fault | None] = []

    def __call__(self, number: int, image: bytes | None, prompt: str) -> Fault | None:
        orders = self.orders.get(prompt)
        fault = orders.pop(0) if orders else None
        self.sent.append(fault)
        return fault


@pytest.fixture(scope="module")
def spoiled() -> Iterator[tuple[Spoiled, str]]:
    server = Spoiled()
    with pytest.MonkeyPatch.context() as environment, serve(lambda image, prompt: f"Good: {prompt}", server) as url:
        environment.setenv(KEY_VARIABLE, KEY)
        yield server, url


def files_of(path: Path) -> list[Path]:
    return [file for file in (path, reservations_path(path)) if file.exists()]


ORDERS = st.lists(st.lists(spoilers(), max_size=3), min_size=1, max_size=4)


@many_runs
@given(ORDERS)
def test_each_question_ends_with_a_reply_or_a_reason_and_every_answer_is_kept(
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: Outcomes,
    spoiled: tuple[Spoiled, str],
    orders: list[list[Callable[[bytes], bytes]]],
) -> None:
    server, url = spoiled
    path = tmp_path_factory.getbasetemp() / "spoiled.jsonl"
    clear(path)
    requests, settings = questions(len(orders)), quick(url, api_key_variable=KEY_VARIABLE)
    server.sent.clear()
    server.orders = {
        request.prompt: [Fault(spoil=spoil) for spoil in order] for request, order in zip(requests, orders, strict=True)
    }
    skipped = run(requests, settings, path, outcomes)

    assert skipped is not None
    replies = {row["key"]: row for row in read_jsonl(path)}
    lines = {row["key"]: row for row in read_jsonl(reservations_path(path))}
    assert {settings.key(request) for request in requests} == replies.keys() | skipped.keys()
    assert not replies.keys() & skipped.keys()
    for reason in skipped.values():
        assert reason.isprintable() and "(2 attempts)" in reason
    # Every request that was sent has a line; the answer stands in that or is the reply.
    assert len(lines) == len(server.sent) == len(replies) + sum("answer" in line for line in lines.values())
    for row in replies.values():
        assert isinstance(row["text"], str) and isinstance(row["answered_by"], str | None)
        assert 1 <= row["prompt_tokens"] <= 1000 and 0 <= row["completion_tokens"] <= settings.max_tokens
        reject_reason(row["text"], "prompt", "image.jpg", Quality(), row["finish_reason"])
    for file in files_of(path):
        text = file.read_text(encoding="utf-8")
        assert KEY not in text and KEY not in text.replace("\\/", "/").replace("\\u0073", "s")
    server.orders = {}
    assert run(requests, settings, path) == {}
    with Ledger(path) as ledger:
        assert all(settings.key(request) in ledger for request in requests)


ODD_HEADERS = st.sampled_from([
    "", "0", "1", "-1", "1e9", "inf", "-inf", "nan", "1e400", "0x10", "1_0", "\xb2", "9" * 400, "soon", "1;2", "1, 2",
    "Tue, 07 Nov 2023", "Tue, 07 Nov 2023 11:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "0.0001", "1e-300",
    "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +1400", "Tue, 99 Nov 2023 11:00:00 GMT",
])  # fmt: skip
STATUSES = st.sampled_from([
    200, 201, 204, 206, 300, 302, 400, 402, 408, 409, 418, 422, 429, 451, 499, 500, 502, 503, 504, 529, 599,
])  # fmt: skip


@st.composite
def odd_faults(draw: st.DrawFn) -> Fault:
    names = ("retry-after-ms", "x-ratelimit-limit-requests", "x-ratelimit-limit-tokens")
    headers = draw(st.dictionaries(st.sampled_from(names), ODD_HEADERS))
    told: dict[str, Any] = {"retry_after": draw(ODD_HEADERS)} if draw(st.booleans()) else {}
    return Fault(
        status=draw(STATUSES), headers=headers, spoil=draw(spoilers()), drop=draw(st.integers(0, 9)) == 0, **told
    )


@many_runs
@given(st.lists(st.lists(odd_faults(), max_size=4), min_size=1, max_size=3))
def test_no_status_and_no_header_ends_a_run_in_anything_but_a_reply_a_reason_or_one_line(
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: Outcomes,
    spoiled: tuple[Spoiled, str],
    orders: list[list[Fault]],
) -> None:
    server, url = spoiled
    path = tmp_path_factory.getbasetemp() / "odd.jsonl"
    clear(path)
    requests, settings = questions(len(orders)), quick(url, api_key_variable=KEY_VARIABLE, timeout_seconds=5.0)
    server.sent.clear()
    server.orders = {request.prompt: list(order) for request, order in zip(requests, orders, strict=True)}
    skipped = run(requests, settings, path, outcomes)
    held = {row["key"] for row in read_jsonl(path)}
    if skipped is not None:
        assert {settings.key(request) for request in requests} == held | skipped.keys()
        assert all(reason.isprintable() for reason in skipped.values())
    assert len({row["key"] for row in read_jsonl(reservations_path(path))}) == len(server.sent)
    assert all(KEY not in file.read_text(encoding="utf-8") for file in files_of(path))
    server.orders = {}
    assert run(requests, settings, path) == {}


def test_a_content_in_parts_a_null_and_a_refusal_are_replies(tmp_path: Path, spoiled: tuple[Spoiled, str]) -> None:
    server, url = spoiled
    requests, settings = questions(3), quick(url)
    messages: list[dict[str, Any]] = [{"content": PARTS}, {"content": None}, {"content": None, "refusal": "I won't."}]

    def spoil(message: dict[str, Any]) -> Callable[[bytes], bytes]:
        return lambda body: json.dumps(changed(json.loads(body), ("choices", 0, "message"), message)).encode()

    server.orders = {
        request.prompt: [Fault(spoil=spoil(message))] for request, message in zip(requests, messages, strict=True)
    }
    assert run(requests, settings, tmp_path / "ledger.jsonl") == {}
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        found = [ledger[settings.key(request)] for request in requests]
    assert [row["text"] for row in found] == ["A text in parts.", "", "I won't."]
    assert [row["finish_reason"] for row in found] == ["stop", "stop", "content_filter"]
