"""Whatever comes over the wire, at whatever pace: a request ends in time, within bounds, and is sent to nobody else."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import math
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import KEY, KEY_VARIABLE, clear, many_runs, questions, quick, run
from harness import Outcomes, many_cases
from raw_endpoint import RawEndpoint, raw_endpoint
from sharegpt4v.config import load
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.endpoint.account import reservations_path
from sharegpt4v.endpoint.client import ask
from sharegpt4v.endpoint.connection import Connection
from sharegpt4v.endpoint.pacing import Pacer, retry_after
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl
from sharegpt4v.layout import DEFAULT_CONFIG
from sharegpt4v.ledger import Ledger
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault
from sharegpt4v.stages.endpoints import endpoint_settings

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GOOD = json.dumps({
    "choices": [{"message": {"content": "Good."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2},
}).encode()  # fmt: skip
EXTRA = [
    b"Content-Encoding: gzip\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
]  # fmt: skip
WHOLE = OK + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD


@pytest.fixture(scope="module")
def raw() -> Iterator[RawEndpoint]:
    with raw_endpoint() as server:
        yield server


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A good response with bytes changed, left out or put in, or any bytes."""
    content = bytearray(WHOLE)
    for kind in draw(st.lists(st.sampled_from(["change", "cut", "insert", "bytes"]), min_size=1, max_size=4)):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "change" and content:
            content[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del content[place : place + draw(st.integers(1, 60))]
        elif kind == "insert":
            content[place:place] = draw(st.sampled_from(EXTRA) | st.binary(max_size=20))
        elif kind == "bytes":
            content = bytearray(draw(st.binary(max_size=200)))
    return bytes(content)


@many_runs
@given(st.lists(responses(), min_size=1, max_size=2))
def test_any_bytes_end_in_a_reply_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, outcomes: Outcomes, raw: RawEndpoint, sent: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "wire.jsonl"
    clear(path)
    waiting = iter(sent)
    raw.asked.clear()
    raw.sends = lambda path: [next(waiting, WHOLE)]
    (request,) = questions(1)
    settings = quick(raw.base_url, timeout_seconds=2.0)
    skipped = run([request], settings, path, outcomes)
    replies = list(read_jsonl(path))
    assert skipped is None or len(replies) + len(skipped) == 1
    assert len(raw.asked) <= len({row["key"] for row in read_jsonl(reservations_path(path))})
    raw.sends = lambda path: [WHOLE]
    assert run([request], settings, path) == {}


def drips() -> Iterator[bytes]:
    yield OK + b"Content-Length: 1000000\r\n\r\n"
    while True:
        time.sleep(0.01)
        yield b" "


def drips_headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for number in itertools.count():
        time.sleep(0.01)
        yield b"X-%d: 1\r\n" % number


def floods() -> Iterator[bytes]:
    yield OK + b"Transfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"100000\r\n" + bytes(0x100000) + b"\r\n"


def is_silent() -> Iterator[bytes]:
    time.sleep(5)
    yield WHOLE


def drips_an_error() -> Iterator[bytes]:
    yield b"HTTP/1.1 500 Oh\r\nContent-Length: 1000000\r\n\r\n"
    while True:
        time.sleep(0.01)
        yield b"x"


@pytest.mark.parametrize("sends", [drips, drips_headers, is_silent, drips_an_error])
def test_a_reply_that_never_ends_is_given_up_in_time_and_counts(tmp_path: Path, raw: RawEndpoint, sends: Any) -> None:
    raw.sends = lambda path: sends()
    raw.asked.clear()
    start = time.monotonic()
    skipped = run(questions(1), quick(raw.base_url, timeout_seconds=0.4), tmp_path / "ledger.jsonl")
    assert skipped and "no whole answer within 0.4 s (2 attempts)" in next(iter(skipped.values()))
    assert time.monotonic() - start < 3 and len(raw.asked) == 2
    rows = {row["key"]: row for row in read_jsonl(reservations_path(tmp_path / "ledger.jsonl"))}
    assert all(row["completion_tokens"] == 40 and row["prompt_tokens"] > 40 for row in rows.values()) and len(rows) == 2


def test_a_reply_that_floods_takes_no_memory_and_counts(tmp_path: Path, raw: RawEndpoint) -> None:
    raw.sends = lambda path: floods()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    skipped = run(questions(1), quick(raw.base_url, timeout_seconds=30), tmp_path / "ledger.jsonl")
    assert skipped and "the answer is longer than 4,194,304 bytes" in next(iter(skipped.values()))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes
    rows = {row["key"]: row for row in read_jsonl(reservations_path(tmp_path / "ledger.jsonl"))}
    assert all(row["completion_tokens"] == 40 and len(row["answer"]) <= 10_000 for row in rows.values())


def test_a_compressed_reply_is_not_inflated(tmp_path: Path, raw: RawEndpoint) -> None:
    bomb = gzip.compress(GOOD)
    raw.sends = lambda path: [OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb]
    skipped = run(questions(1), quick(raw.base_url), tmp_path / "ledger.jsonl")
    assert skipped and "it is not JSON" in next(iter(skipped.values()))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("mode", ["direct", "batch"])
def test_no_body_and_no_key_goes_to_another_host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    raw: RawEndpoint,
    status: int,
    mode: str,
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with raw_endpoint() as other:
        other.sends = lambda path: [WHOLE]
        place = f"http://user:pass-word@127.0.0.1:{other.server_port}/v1/elsewhere?token=abc#x".encode()
        raw.sends = lambda path: [b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, place)]
        settings = quick(raw.base_url, api_key_variable=KEY_VARIABLE, mode=mode)
        with pytest.raises(UserError) as caught, Ledger(tmp_path / "ledger.jsonl") as ledger:
            asyncio.run(ask(questions(4), settings, ledger))
        assert other.asked == []
    told = str(caught.value)
    assert f"{status} redirects to http://127.0.0.1:{other.server_port}/v1/elsewhere; " in told and told.isprintable()
    assert not any(secret in told for secret in ("pass-word", "token", KEY))


# --- what an endpoint asks to wait -------------------------------------------------------------------------------


@many_cases
@given(
    st.text(max_size=30)
    | st.floats().map(str)
    | st.integers().map(str)
    | st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))
)
def test_any_wait_that_is_asked_for_is_bounded(outcomes: Outcomes, value: str) -> None:
    for headers in ({"retry-after": value}, {"retry-after-ms": value}, {"retry-after-ms": "x", "retry-after": value}):
        wait = retry_after(headers, 600, datetime(2023, 11, 7, tzinfo=UTC))
        assert wait is None or 0 < wait <= 600
    outcomes["no wait" if wait is None else "the longest wait" if wait == 600 else "a wait"] += 1


@many_cases
@given(
    st.lists(st.text(max_size=12) | st.floats().map(str) | st.integers(-5, 10**6).map(str), max_size=4),
    st.floats(0, 1e6),
)
def test_any_limit_that_is_told_gives_a_pace_at_which_work_ends(
    outcomes: Outcomes, limits: list[str], tokens: float
) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        assert seconds <= 2 * 600 * 3  # a request and its tokens, after two others
        now += seconds

    pacer = Pacer(None, None, lambda: now, sleep, longest_wait=600)

    async def send() -> None:
        for limit in limits:
            pacer.told({"x-ratelimit-limit-requests": limit, "x-ratelimit-limit-tokens": limit})
        for _ in range(3):
            await pacer.turn(tokens)
            pacer.correct(tokens / 2, tokens)

    asyncio.run(send())
    assert math.isfinite(now) and now <= 3 * 2 * 600
    outcomes["at once" if now == 0 else "after a wait"] += 1


@pytest.mark.parametrize("wait", ["1e9", "inf", "0.001", "-5", "0", "²", "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("status", [429, 503, 500])
def test_an_endpoint_that_always_asks_to_wait_is_given_up(tmp_path: Path, wait: str, status: int) -> None:
    with serve(lambda image, prompt: "", lambda *about: Fault(status=status, retry_after=wait)) as url:
        start = time.monotonic()
        skipped = run(questions(1), quick(url, requests_per_minute=None), tmp_path / "ledger.jsonl")
    assert skipped and f"{status} " in next(iter(skipped.values())) and time.monotonic() - start < 20
    rows = {row["key"] for row in read_jsonl(reservations_path(tmp_path / "ledger.jsonl"))}
    free = 10 if status != 500 and wait not in ("-5", "0", "²") else 0  # a 500 counts whatever it asks for
    assert len(rows) == free + 2


@pytest.mark.parametrize("section", ["teacher", "judge"])
def test_the_longest_wait_is_a_key_of_the_config_and_ten_minutes_by_default(tmp_path: Path, section: str) -> None:
    path = tmp_path / "preset.json"
    for changed, seconds in (({}, 600), ({"longest_wait_seconds": 7}, 7)):
        path.write_text(json.dumps({"base": str(DEFAULT_CONFIG), section: changed}))
        settings = endpoint_settings(getattr(load(path), section), "http://127.0.0.1/v1")
        assert settings.endpoint.longest_wait_seconds == seconds


# --- addresses ---------------------------------------------------------------------------------------------------

SECRETS = ["pass-word", "sk-0123456789", "hf_" + "a" * 30, KEY]
PARTS = st.sampled_from(
    ["", "v1", "a/b", "über", "a b", "\n", "%20", ":", "[", "[::1]", "://", "\x00", "@", "?", "#", "..", *SECRETS]
)
HOSTS = st.sampled_from(["127.0.0.1", "api.example.org", "", "x:99999", "x:0", "[::1]", "x:y"])


@many_cases
@given(
    st.sampled_from(["http", "https", "http", "https", "ftp", "file", "", "HTTP"]),
    st.just([]) | st.lists(PARTS, max_size=3),
    st.just([]) | st.lists(PARTS, max_size=2),
    HOSTS,
    st.lists(PARTS, max_size=3),
)
def test_an_address_with_a_secret_is_refused_and_never_shown(
    outcomes: Outcomes, scheme: str, user: list[str], query: list[str], host: str, path: list[str]
) -> None:
    address = f"{scheme}://{':'.join(user)}{'@' if user else ''}{host}/{'/'.join(path)}{'?' if query else ''}"
    address += "&".join(query)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(KEY_VARIABLE, KEY)
        keys: dict[str, Any] = {"api_key_variable": KEY_VARIABLE, "timeout_seconds": 1, "longest_wait_seconds": 1}

        def connect() -> str:
            try:
                return Connection(Endpoint.model_construct(**keys, base_url=address)).address
            except UserError as error:
                assert not any(secret in str(error) for secret in SECRETS)
                raise

        if shown := outcomes.of(connect):
            assert "@" not in shown and "?" not in shown and "#" not in shown and KEY not in shown


@pytest.mark.parametrize("section", ["teacher", "judge"])
@pytest.mark.parametrize(
    "address",
    ["https://user:pass-word@host/v1", "https://sk-0123456789@host/v1", "https://host/v1?key=sk-0123456789", "https://host/#a",
     "https://host/sk-0123456789/v1", "http://@host/v1"],
)  # fmt: skip
def test_a_config_holds_no_address_with_a_secret(tmp_path: Path, section: str, address: str) -> None:
    path = tmp_path / "preset.json"
    path.write_text(json.dumps({"base": str(DEFAULT_CONFIG), section: {"base_url": address}}))
    with pytest.raises(UserError) as caught:
        load(path)
    told = str(caught.value)
    assert f"{section}.base_url seems to hold a secret; put it into an environment variable" in told
    assert address not in told and not any(secret in told for secret in SECRETS)
