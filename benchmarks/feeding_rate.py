"""How many requests per second one client process sends to a server with their images, and what each costs it.

    python benchmarks/feeding_rate.py --requests 5000

starts a server in a process of its own that answers chat completions at once, after a look at each image's address: the
path of a file that is there, or a data URL. It is asked the same questions about the same images of 336 x 336 pixels by
clients in processes of their own: the engine `vllm` as it asks vLLM, which prepares each image and hands it over as a
file; the engine `endpoint`, which sends the file's bytes; and the official package `openai` as its pages show it, with
as many requests at a time and data URLs. Then the engine `vllm` is measured once more on JPEGs of 640 x 480 pixels,
which it decodes and makes square. It prints requests/s, and the milliseconds of a processor that the client takes per
request, which others on the machine disturb less; and how many replies are equal. In a first round, which is not timed,
the replies are hashes of the pixels that the server sees.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import io
import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import orjson
from PIL import Image

from sharegpt4v.captions.packing import webp
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.generation.endpoint import EndpointEngine
from sharegpt4v.generation.engine import Request
from sharegpt4v.generation.vllm import VllmEngine
from sharegpt4v.models.pixels import Squares

SIZE, LARGE = (336, 336), (640, 480)
FILES = 200
CONCURRENCY = 256  # as the engine `vllm` has it for 128 texts at a time
QUESTION = "Describe the image in detail. Number {}."
CLIENTS = ("vllm", "endpoint", "openai")


def main() -> None:
    """Measure and print; with --serve or --only, one part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--images", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
    elif options.only:
        print(json.dumps(ask(options.only, options.url, options.model, options.images, options.requests)))
    else:
        with tempfile.TemporaryDirectory() as folder, server() as url:
            small, large = Path(folder) / "small", Path(folder) / "large"
            draw(small, SIZE)
            draw(large, LARGE)
            report(url, small, large, options)


def report(url: str, small: Path, large: Path, options: argparse.Namespace) -> None:
    """Check what the server sees, measure in turns, and print."""
    seen = [measured(client, url, "pixels", small, FILES)["replies"] for client in CLIENTS]
    equal = sum(len(set(replies)) == 1 for replies in zip(*seen, strict=True))
    print(f"the server sees equal pixels from all three clients in {equal} of {FILES} images")
    runs = [(client, small) for client in CLIENTS] + [("vllm", large)]
    found: dict[tuple[str, Path], list[dict[str, Any]]] = {run: [] for run in runs}
    for _ in range(options.rounds):
        for client, images in runs:
            found[client, images].append(measured(client, url, "quick", images, options.requests))
    replies = [found[run][0]["replies"] for run in runs]
    equal = sum(len(set(of_question)) == 1 for of_question in zip(*replies, strict=True))
    print(f"equal replies: {equal:,} of {options.requests:,}")
    best = {run: max(results, key=lambda result: float(result["rate"])) for run, results in found.items()}
    print(f"best of {options.rounds} rounds, {CONCURRENCY} requests at a time:")
    for (client, images), result in best.items():
        what = "JPEGs of 640 x 480" if images == large else "images of 336 x 336"
        print(f"{client:10}{what:22}{result['rate']:8,.0f} requests/s {result['cpu_ms']:6.2f} ms of a processor each")
    ours, other = best["vllm", small], best["openai", small]
    by_clock, by_processor = ours["rate"] / other["rate"], other["cpu_ms"] / ours["cpu_ms"]
    print(f"the engine vllm against openai: {by_clock:.2f} times the requests/s, by processor time {by_processor:.2f}")


def measured(client: str, url: str, model: str, images: Path, requests: int) -> dict[str, Any]:
    """Run one client in a process of its own."""
    command = [sys.executable, __file__, "--only", client, "--url", url, "--model", model, "--images", str(images)]
    command += ["--requests", str(requests)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(ended.stdout)  # type: ignore[no-any-return]


def ask(client: str, url: str, model: str, images: Path, count: int) -> dict[str, Any]:
    """Ask `count` questions, and return the replies in their order, the rate and the processor time of each."""
    files = sorted(images.iterdir())
    requests = [Request(QUESTION.format(place), files[place % len(files)], 1024, "square") for place in range(count)]
    with tempfile.TemporaryDirectory() as work:
        start, used = time.monotonic(), time.process_time()
        if client == "openai":
            replies = asyncio.run(ask_openai(url, model, requests))
        else:
            replies = ask_engine(engine_of(client, url, model, Path(work)), requests)
        seconds, used = time.monotonic() - start, time.process_time() - used
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"replies": replies, "rate": count / seconds, "cpu_ms": 1000 * used / count, "memory_mib": memory}


def engine_of(client: str, url: str, model: str, work: Path) -> EndpointEngine:
    """The engine `endpoint`, or the engine `vllm` in front of a server that is running already."""
    endpoint = Endpoint(base_url=url, model=model, api_key_variable=None, concurrency=CONCURRENCY)
    return EndpointEngine(endpoint, work) if client == "endpoint" else Fed(endpoint, work)


class Fed(VllmEngine):
    """The engine `vllm` with a server that somebody else has started."""

    def __init__(self, endpoint: Endpoint, work: Path) -> None:
        """Take the settings that the engine makes out of a checkpoint."""
        EndpointEngine.__init__(self, endpoint, work)
        self.settings = replace(self.settings, costs_nothing=True)
        self._prepare = {way: Squares(SIZE[0], way).prepare for way in ("pad", "square")}
        self._images = work / "images"
        self._images.mkdir()
        self.server: Any = SimpleNamespace(base_url=endpoint.base_url, is_running=True)


def ask_engine(engine: EndpointEngine, requests: list[Request]) -> list[str]:
    """Ask by an engine; no reply may be an error."""
    replies = dict(engine.answer(requests))
    assert not any(reply.error for reply in replies.values()), next(r.error for r in replies.values() if r.error)
    return [replies[place].text for place in range(len(requests))]


async def ask_openai(url: str, model: str, requests: list[Request]) -> list[str]:
    """Ask by the official package."""
    import openai

    gate = asyncio.Semaphore(CONCURRENCY)
    async with openai.AsyncOpenAI(base_url=url, api_key="none", timeout=600) as client:

        async def one(request: Request) -> str:
            async with gate:
                assert isinstance(request.image, Path)
                data = base64.b64encode(request.image.read_bytes()).decode()
                image = {"type": "image_url", "image_url": {"url": f"data:image/webp;base64,{data}"}}
                content: Any = [image, {"type": "text", "text": request.question}]
                reply = await client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": content}], max_tokens=1024, temperature=0
                )
                return reply.choices[0].message.content or ""

        return await asyncio.gather(*(one(request) for request in requests))


def draw(folder: Path, size: tuple[int, int]) -> None:
    """Write images: of the size that the model sees, as s4v pack writes them, or JPEGs of another."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(FILES):
        low = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        scene = np.asarray(Image.fromarray(low).resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = np.clip(scene + random.integers(-6, 7, scene.shape), 0, 255).astype(np.uint8)
        image, path = Image.fromarray(noisy), folder / f"{number:06d}"
        if size == SIZE:
            path.with_suffix(".webp").write_bytes(webp(image))
        else:
            image.save(path.with_suffix(".jpg"), quality=85)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run the server in a process of its own; yield its address."""
    process = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


async def serve() -> None:
    """Serve chat completions at a free port until this process is ended; print the address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
    loop = asyncio.get_running_loop()
    serving = await loop.create_server(Conversation, sock=listener)
    await serving.serve_forever()


class Conversation(asyncio.Protocol):
    """One connection: requests with a length, each answered before the next one comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received, self.end = bytearray(), 0

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.end and (head := self.received.find(b"\r\n\r\n")) >= 0:
            lines = bytes(self.received[:head]).lower().split(b"\r\n")
            (length,) = (int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            self.start, self.end = head + 4, head + 4 + length
        if self.end and len(self.received) >= self.end:
            body = orjson.loads(memoryview(self.received)[self.start : self.end])
            self.received, self.end = bytearray(), 0
            self.answer(body)

    def answer(self, body: dict[str, Any]) -> None:
        """Send the answer, or say what is wrong with the question."""
        content = body["messages"][-1]["content"]
        (text,) = (part["text"] for part in content if part["type"] == "text")
        (url,) = (part["image_url"]["url"] for part in content if part["type"] == "image_url")
        path = Path(unquote(urlsplit(url).path)) if url.startswith("file://") else None
        good = path.is_file() if path else url.startswith("data:image/")
        replied = hashlib.sha256(text.encode()).hexdigest()
        if body["model"] == "pixels":
            image = path.read_bytes() if path else base64.b64decode(url.partition(",")[2])
            with Image.open(io.BytesIO(image)) as opened:
                replied = hashlib.sha256(opened.convert("RGB").tobytes()).hexdigest()
        choice = {"index": 0, "message": {"role": "assistant", "content": replied}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 600, "completion_tokens": 40, "total_tokens": 640}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}
        sent = orjson.dumps(reply | {"usage": usage} if good else {"error": {"message": f"no such image {url[:80]}"}})
        status = b"200 OK" if good else b"400 Bad Request"
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(sent))
        self.transport.write(head + sent)


if __name__ == "__main__":
    main()
