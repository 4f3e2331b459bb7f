"""The budget holds whatever an endpoint says, however requests end, and wherever a run is killed.

The server bills by its own book: nothing for a request that it refuses, what it says where it says so, and otherwise
the most that the request can cost. The files of a run have to say the same, and neither may pass the limit.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asking import FRAME, MAX_TOKENS, clear, counted, many_runs, questions, quick, run, usd
from chats import budget_of
from harness import CASES, Outcomes
from sharegpt4v.endpoint.budget import FRAME_TOKENS
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault

ODD_TOKENS: list[tuple[Any, Any]] = [
    (-5, 1), (float("nan"), 1), ("9", "1"), (10**30, 1), (0, 0), (9, 10**9), (9.5, True), (9, None), (9, 0),
]  # fmt: skip
ODD_USAGE: list[Any] = [None, {}, [], "12", {"prompt_tokens": 9}] + [
    {"prompt_tokens": prompt, "completion_tokens": completion} for prompt, completion in ODD_TOKENS
]
ENDS = (["billed as told"] * 4) + ["odd usage"] * 3 + ["no completion", "refused", "busy", "error", "dropped"]


def with_usage(usage: Any) -> Callable[[bytes], bytes]:
    return lambda body: json.dumps(json.loads(body) | {"usage": usage}).encode()


class Book:
    """How the requests of a case end, one after another, and what the server bills for them, in tokens."""

    def __init__(self) -> None:
        self.draw = random.Random(0)
        self.orders: list[str] = []
        self.lateness = 0.0
        self.batch_billed: list[tuple[int, int]] = []
        self.billed: list[tuple[int, int]] = []
        self.lock = threading.Lock()

    def begin(self, orders: list[str], seed: int) -> None:
        self.orders, self.draw = list(orders), random.Random(seed)

    def __call__(self, number: int, image: bytes | None, prompt: str) -> Fault:
        prompt_tokens = len(prompt.encode()) + FRAME
        end = self.orders.pop(0) if self.orders else "odd usage"
        most = (prompt_tokens, MAX_TOKENS)
        if end == "billed as told":
            told = (self.draw.randint(1, prompt_tokens), self.draw.randint(1, MAX_TOKENS))
            self.billed.append(told)
            return Fault(usage=dict(zip(("prompt_tokens", "completion_tokens"), told, strict=True)))
        if end == "refused":
            return Fault(status=self.draw.choice([400, 413, 422]))
        if end == "busy":
            return Fault(status=self.draw.choice([429, 503]), retry_after=self.draw.choice([None, "0.001", "inf"]))
        self.billed.append(most)
        if end == "odd usage":
            return Fault(spoil=with_usage(self.draw.choice(ODD_USAGE)))
        if end == "no completion":
            return Fault(spoil=self.draw.choice([lambda body: b"", lambda body: b"{}", lambda body: body[:50]]))
        if end == "late":
            return Fault(delay_seconds=2.0)
        return Fault(drop=True) if end == "dropped" else Fault(status=self.draw.choice([500, 502, 504]))

    def usd(self, settings: Any, batch: bool = False) -> Fraction:
        return sum((usd(*tokens, settings, batch) for tokens in self.billed), start=Fraction(0))


@pytest.fixture(scope="module")
def book() -> Iterator[tuple[Book, str]]:
    kept = Book()
    with serve(lambda image, prompt: "Some words.", kept) as url:
        yield kept, url


def bound_of(settings: Any, batch: bool = False) -> Fraction:
    """What the longest of the questions can cost by the client's own bound."""
    longest = max(len(request.prompt.encode()) for request in questions(100))
    return usd(longest + FRAME_TOKENS, MAX_TOKENS, settings, batch)


FOREIGN = [b'{"custom_id":5}\n', b"[]\n", b'{"custom_id":"other","response":{}}\n', b"\n", b"\xff\n", b"3\n"]
PRICES = st.tuples(st.integers(0, 60), st.integers(1, 60)).map(lambda pair: (pair[0] * 1000.0, pair[1] * 1000.0))
RUNS = st.lists(st.lists(st.sampled_from(ENDS), max_size=25), min_size=1, max_size=3)


@many_runs
@given(RUNS, PRICES, st.floats(0.01, 60), st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**32))
def test_single_requests_are_never_billed_more_than_the_limit_and_all_that_is_billed_is_counted(
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: Outcomes,
    book: tuple[Book, str],
    runs: list[list[str]],
    prices: tuple[float, float],
    limit: float,
    concurrency: int,
    count: int,
    seed: int,
) -> None:
    kept, url = book
    path = tmp_path_factory.getbasetemp() / "budget.jsonl"
    clear(path)
    kept.billed.clear()
    settings = quick(url, concurrency=concurrency, budget=budget_of(limit, *prices))
    for orders in runs:
        kept.begin(orders, seed)
        run(questions(count), settings, path, outcomes)
        billed, said = kept.usd(settings), counted(path, settings)
        overcount = (FRAME_TOKENS - FRAME) * prices[0] / 1e6 * len(kept.billed)  # the client's frame is the wider one
        assert billed <= said * (1 + Fraction(1, 10**9)) <= billed + overcount + Fraction(1, 10**6)
        assert billed <= Fraction(limit) and said <= Fraction(limit) * (1 + Fraction(1, 10**9))


@pytest.mark.parametrize("concurrency", [1, 5])
def test_late_requests_count_with_the_most_they_can_cost(
    tmp_path: Path, book: tuple[Book, str], concurrency: int
) -> None:
    kept, url = book
    path = tmp_path / "late.jsonl"
    kept.billed.clear()
    kept.begin(["late"] * 4 + ["billed as told"] * 20, 0)
    settings = quick(url, concurrency=concurrency, timeout_seconds=0.5, budget=budget_of(1e6, 1000.0, 1000.0))
    skipped = run(questions(4), settings, path)
    assert skipped is not None and len(kept.billed) == 8 - len(skipped) * (concurrency == 1)
    assert kept.usd(settings) <= counted(path, settings)


def test_a_small_limit_stops_a_run_no_sooner_than_it_has_to(tmp_path: Path, book: tuple[Book, str]) -> None:
    kept, url = book
    kept.billed.clear()
    kept.begin(["billed as told"] * 1000, 0)
    settings = quick(url, concurrency=4, budget=budget_of(20.0, 1000.0, 10_000.0))
    assert run(questions(100), settings, tmp_path / "ledger.jsonl") is None
    assert 20 - bound_of(settings) < counted(tmp_path / "ledger.jsonl", settings) <= 20


@pytest.mark.parametrize(
    "told", [(None, None), ("9", "1"), (-5, 1), (1e30, 1), (9.5, 1), (10**9, 1), ([], {}), (True, 1)]
)
def test_a_reply_that_an_earlier_version_kept_with_impossible_tokens_counts_as_the_most(
    tmp_path: Path, book: tuple[Book, str], told: tuple[Any, Any]
) -> None:
    kept, url = book
    kept.begin([], 0)
    path, settings = tmp_path / "old.jsonl", quick(url, budget=budget_of(1.0, 1000.0, 10_000.0))
    row = {"key": "old", "text": "x", "model": "mini", "prompt_tokens": told[0], "completion_tokens": told[1]}
    path.write_text(json.dumps(row) + "\n")
    (request,) = questions(1)
    most = usd(len(request.prompt.encode()) + FRAME_TOKENS, MAX_TOKENS, settings, batch=False)
    for limit, ended in ((1.9, None), (2.1, {})):
        allowed = quick(url, budget=budget_of(float(limit * most), 1000.0, 10_000.0))
        assert run([request], allowed, path) == ended


@many_runs
@given(
    RUNS, PRICES, st.floats(0.01, 60), st.integers(1, 9), st.integers(1, 12), st.integers(0, 2**32),
    st.lists(st.sampled_from(["torn", "doubled", "foreign", "byte", "gone", "whole"]), max_size=6),
    st.lists(st.sampled_from(["drop", "503", "expires", "fails", "fine", "fine"]), max_size=8),
)  # fmt: skip
def test_batches_are_never_billed_more_than_the_limit_and_each_question_ends(
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: Outcomes,
    runs: list[list[str]],
    prices: tuple[float, float],
    limit: float,
    batch_requests: int,
    count: int,
    seed: int,
    results: list[str],
    events: list[str],
) -> None:
    path = tmp_path_factory.getbasetemp() / "batches.jsonl"
    clear(path)
    kept, happenings, draw = Book(), list(events), random.Random(seed)

    def spoiled(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        match results.pop(0) if results else "whole":
            case "torn":
                return content[: draw.randrange(len(content) + 1)]
            case "doubled":
                return content + content
            case "foreign":
                return b"".join(draw.choice(FOREIGN) + line for line in lines)
            case "byte":
                place = draw.randrange(len(content))
                return content[:place] + draw.randbytes(1) + content[place + 1 :]
            case "gone":
                return b"".join(line for line in lines if draw.random() < 0.5)
        return content

    def happens(event: str, number: int) -> Fault | None:
        if event == "content":
            return Fault(spoil=spoiled)
        match happenings.pop(0) if happenings else "fine":
            case "drop":
                return Fault(drop=True) if event != "run" else None
            case "503":
                return Fault(status=503) if event != "run" else None
            case "expires":
                return Fault(expires_after=draw.randrange(4))
            case "fails":
                return Fault(status=400, code="token_limit_exceeded") if event == "run" else None
        return None

    with serve(lambda image, prompt: "Some words.", kept, batch_faults=happens) as url:
        budget = budget_of(limit, *prices)
        settings = quick(url, mode="batch", batch_requests=batch_requests, attempts=3, budget=budget, batch_factor=0.5)
        for orders in runs:
            kept.begin(orders, seed)
            skipped = run(questions(count), settings, path, outcomes)
            assert kept.usd(settings, batch=True) <= Fraction(limit)
            if skipped is not None:
                assert kept.usd(settings, batch=True) <= counted(path, settings) * (1 + Fraction(1, 10**9))
                assert not list(path.with_suffix(".batches").glob("*"))


CHILD = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from asking import questions, quick, run
from chats import budget_of
mode, concurrency, limit = sys.argv[5], int(sys.argv[6]), float(sys.argv[7])
budget = budget_of(limit, 1000.0, 10_000.0)
settings = quick(sys.argv[3], concurrency=concurrency, budget=budget, mode=mode, batch_requests=5)
sys.exit(run(questions(60), settings, Path(sys.argv[4])) is None)
"""


@pytest.mark.parametrize("mode", ["direct", "batch"])
def test_a_run_that_is_killed_again_and_again_is_billed_no_more_than_the_limit(
    tmp_path: Path, outcomes: Outcomes, mode: str
) -> None:
    kills, draw, path = max(4, CASES // 50), random.Random(mode), tmp_path / "killed.jsonl"
    kept, children = Book(), list[subprocess.Popen[bytes]]()
    kept.begin([], 0)
    fatal = 0

    def order(number: int, image: bytes | None, prompt: str) -> Fault:
        fault = kept(number, image, prompt)
        if number == fatal:
            os.kill(children[-1].pid, signal.SIGKILL)
        return replace(fault, delay_seconds=0.01)

    tests = Path(__file__).parent
    while kills:
        kept.billed.clear()
        clear(path)
        limit = draw.choice([5.0, 15.0, 40.0])
        with serve(lambda image, prompt: "Some words.", order) as url:
            settings = quick(url, budget=budget_of(limit, 1000.0, 10_000.0))
            child = [sys.executable, "-c", CHILD, str(tests), str(tests.parent)]
            command = [*child, url, str(path), mode, "6", str(limit)]
            received = 0
            for last in [*[False] * min(kills, 4), True]:
                fatal = math.inf if last else received + draw.randint(1, 12)  # type: ignore[assignment]
                children.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
                code = children[-1].wait()
                received = len(kept.billed)
                outcomes["killed" if code == -signal.SIGKILL else "ended"] += 1
                assert code in (-signal.SIGKILL, 0, 1)
                kills -= not last
                assert kept.usd(settings, mode == "batch") <= limit
            said = counted(path, settings)
            assert kept.usd(settings, mode == "batch") <= said * (1 + Fraction(1, 10**9)) and said <= limit
