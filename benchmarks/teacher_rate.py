"""How much of an endpoint's limits the teacher's client uses, and how often it is refused.

    python benchmarks/teacher_rate.py

asks a server on this machine that counts requests and tokens: none of its minutes, whenever it begins, may hold more
than allowed, or it answers 429 with Retry-After. Each case prints the used share of the allowed requests and tokens and
the number of 429s: limits that the config knows, with one of them and then the other the tighter one; limits that only
the server's replies tell of; limits that nobody tells; and, for comparison, a client that sends at once and again after
each Retry-After, as the package `openai` does by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import math
import random
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.endpoint.client import ask
from sharegpt4v.endpoint.request import Request
from sharegpt4v.endpoint.settings import ChatSettings
from sharegpt4v.ledger import Ledger
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault

PROMPT = " ".join(["word"] * 300)
MAX_TOKENS = 400


class Limiter:
    """The server's door: so many requests and tokens in any 60 seconds. A request counts with what it will take."""

    def __init__(self, requests: int, tokens: int, tells: bool) -> None:
        self.requests, self.tokens, self.tells = requests, tokens, tells
        self.passed: deque[tuple[float, int]] = deque()
        self.log: list[tuple[float, int]] = []
        self.refused = 0

    def __call__(self, number: int, image: bytes | None, prompt: str) -> Fault:
        now = time.monotonic()
        while self.passed and self.passed[0][0] <= now - 60:
            self.passed.popleft()
        tokens = 300 + reply_words(image)
        headers: dict[str, str] = {}
        if self.tells:
            headers = {
                "x-ratelimit-limit-requests": str(self.requests),
                "x-ratelimit-limit-tokens": str(self.tokens),
            }
        if len(self.passed) < self.requests and sum(used for _, used in self.passed) + tokens <= self.tokens:
            self.passed.append((now, tokens))
            self.log.append((now, tokens))
            return Fault(delay_seconds=random.Random(image).uniform(0.3, 1.5), headers=headers)
        self.refused += 1
        wait = self.passed[0][0] + 60 - now
        return Fault(status=429, code="rate_limit_exceeded", retry_after=f"{max(wait, 0.05):.3f}", headers=headers)

    def report(self) -> str:
        """Say what share was used from the first to the last request that passed."""
        minutes = (self.log[-1][0] - self.log[0][0]) / 60
        requests, tokens = len(self.log) - 1, sum(used for _, used in self.log[:-1])
        return (
            f"{requests / (self.requests * minutes):.1%} of the requests, "
            f"{tokens / (self.tokens * minutes):.1%} of the tokens, {self.refused} times 429 in {60 * minutes:.0f} s"
        )


def reply_words(image: bytes | None) -> int:
    """How long the reply to an image is: 100 to 300 words."""
    return 100 + int(hashlib.sha256(image or b"").hexdigest(), 16) % 201


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150, help="of each case, about")
    parser.add_argument("--requests", type=int, default=1200, help="the server's limit per minute")
    parser.add_argument("--cases", nargs="+", default=["requests", "tokens", "told", "untold", "naive"])
    options = parser.parse_args()
    loose, tight = 1000 * options.requests, 400 * options.requests  # a request takes 500 tokens on average
    for case in options.cases:
        tokens = tight if case == "tokens" else loose
        known = {"requests_per_minute": options.requests, "tokens_per_minute": tokens}
        known = known if case in ("requests", "tokens") else {}
        limiter = Limiter(options.requests, tokens, tells=case == "told")
        count = math.ceil(options.requests * options.seconds / 60 * min(1.0, tokens / (500 * options.requests)))
        with tempfile.TemporaryDirectory() as folder, serve(answer, limiter) as url:
            endpoint = Endpoint(base_url=url, model="mini", api_key_variable=None, concurrency=64, **known)
            settings = ChatSettings(endpoint, max_tokens=MAX_TOKENS)
            requests = images(Path(folder), count)
            if case == "naive":
                asyncio.run(naive(requests, settings))
            else:
                with Ledger(Path(folder) / "replies.jsonl") as ledger:
                    assert asyncio.run(ask(requests, settings, ledger)) == {} and len(ledger) == count
        print(f"{case}: {limiter.report()}", flush=True)


def answer(image: bytes | None, prompt: str) -> str:
    """The server's reply."""
    return " ".join(["word"] * reply_words(image))


def images(folder: Path, count: int) -> list[Request]:
    """So many requests, each about an image of its own."""
    requests = []
    for number in range(count):
        data = b"\xff\xd8\xff" + str(number).encode()
        (folder / f"{number}.jpg").write_bytes(data)
        requests.append(Request(f"{number}.jpg", folder, "coco", hashlib.sha256(data).hexdigest(), PROMPT))
    return requests


async def naive(requests: list[Request], settings: ChatSettings) -> None:
    """Ask all at once through the package's own retries."""
    import openai

    gate = asyncio.Semaphore(settings.endpoint.concurrency)
    async with openai.AsyncOpenAI(base_url=settings.endpoint.base_url, api_key="none", max_retries=100) as client:

        async def one(request: Request) -> Any:
            async with gate:
                return await client.chat.completions.create(**settings.chat(request))  # type: ignore[call-overload]

        await asyncio.gather(*(one(request) for request in requests))


if __name__ == "__main__":
    main()
