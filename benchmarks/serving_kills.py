"""Whether captions survive kills of the server, of the job that asks it, and of both: nothing lost or asked twice.

    python benchmarks/serving_kills.py
    python benchmarks/serving_kills.py --kills 3 --requests 300

lets the engine `vllm` ask a server about images, with a stand-in for vLLM's program that answers by the pixels it finds
at the address it is given. SIGKILL goes in turn to the server, to the job and to both, at random moments (drawn from
`--seed`), until all kills are used up. Then every answer has to be there and right, no reply that was on disk may
have been asked for again, no process and no image file may be left. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
from PIL import Image

from sharegpt4v.errors import UserError

SEQUENCES = 4
SERVER_DIED = 3  # exit code of a job whose server ended before it was ready
STAND_IN = """
import hashlib, json, os, sys, time, urllib.parse, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from PIL import Image
name, log, seconds, port = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def reply(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.reply({"data": [{"id": name}]})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        image, text = asked["messages"][-1]["content"]
        with urllib.request.urlopen(image["image_url"]["url"]) as file:
            said = hashlib.sha256(Image.open(file).convert("RGB").tobytes()).hexdigest()[:12]
        time.sleep(seconds)
        with open(log, "a") as lines:
            lines.write(text["text"] + "\\n")
        message = {"role": "assistant", "content": text["text"] + " " + said}
        usage = {"prompt_tokens": 9, "completion_tokens": 1}
        self.reply({"model": name, "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})
    def log_message(self, *_):
        pass
    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass
ThreadingHTTPServer.request_queue_size = 64
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def ask(folder: Path, seconds: float) -> None:
    """Be the job: ask about all images of a folder by the engine, and write the answers when all are there."""
    from sharegpt4v.config.generation import Vllm
    from sharegpt4v.generation import vllm
    from sharegpt4v.generation.engine import Request
    from sharegpt4v.serving.server import Server

    def stand_in(model: Path, name: str, settings: Vllm, images: Path, log: Path, on_gpu: bool) -> Server:
        words = [sys.executable, str(folder / "stand_in.py"), name, str(folder / "asked.log"), str(seconds)]
        return Server(name, lambda port: [*words, str(port)], {}, log, 60)

    vllm.vllm_server = stand_in
    requests = [Request(f"image {number}", file, 9, "square") for number, file in enumerate(images(folder))]
    tempfile.tempdir = str(folder / "temporary")
    engine = vllm.VllmEngine(folder / "model", Vllm(sequences=SEQUENCES), folder / "work")
    with engine:
        found = {place: answer.text for place, answer in engine.answer(requests)}
    (folder / "answers.json").write_text(json.dumps([found[place] for place in range(len(requests))]))


def images(folder: Path) -> list[Path]:
    """The images that are asked about."""
    return sorted((folder / "images").iterdir())


def prepare(folder: Path, count: int) -> list[str]:
    """Write the stand-in, a checkpoint's settings and images; return the answers that are right."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    (folder / "stand_in.py").write_text(STAND_IN)
    for name in ("images", "model", "temporary", "work"):
        (folder / name).mkdir()
    LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=28, patch_size=14), text_config=LlamaConfig()
    ).save_pretrained(folder / "model")
    (folder / "model/generation_config.json").write_text("{}")
    expected = []
    for number in range(count):
        image = Image.new("RGB", (28, 28), (number % 256, number // 256, 7))
        image.save(folder / f"images/{number:06d}.png")
        expected.append(f"image {number} {hashlib.sha256(image.tobytes()).hexdigest()[:12]}")
    return expected


def processes(folder: Path, script: str) -> Iterator[psutil.Process]:
    """What runs a script with the folder in its command line, but for this process."""
    for one in psutil.process_iter(["cmdline"]):
        words = one.info["cmdline"] or []
        named = any(word.endswith(script) for word in words[1:3])
        if named and any(str(folder) in word for word in words) and one.pid != psutil.Process().pid:
            yield one


def kill(folder: Path, scripts: tuple[str, ...]) -> int:
    """Kill what runs these scripts; return how many processes."""
    found = [one for script in scripts for one in processes(folder, script)]
    for one in found:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGKILL)
    return len(found)


def main() -> None:
    """Kill, count and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=0.1, help="how long the server takes for an answer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ask", type=Path, metavar="FOLDER", help="what this script starts itself for")
    options = parser.parse_args()
    if options.ask:
        try:
            return ask(options.ask, options.seconds)
        except UserError as error:
            print(error, file=sys.stderr)
            sys.exit(SERVER_DIED if "ended before it answered" in str(error) else 1)
    dice, killed = Random(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = prepare(folder, options.requests)
        job: subprocess.Popen[bytes] | None = None
        command = [sys.executable, __file__, "--ask", str(folder), "--seconds", str(options.seconds)]
        on_disk: set[str] = set()  # when the job was started last
        asked_before = asked_again = died = 0
        while not (folder / "answers.json").exists():
            if job is None or job.poll() is not None:
                if job is not None and job.returncode not in (0, -signal.SIGKILL):
                    if job.returncode != SERVER_DIED:
                        sys.exit(f"the job ended with {job.returncode}")
                    died += 1
                asked_again += len(on_disk & {*asked(folder)[asked_before:]})
                on_disk, asked_before = kept(folder), len(asked(folder))
                job = subprocess.Popen(command)
            if killed.total() < options.kills and any(processes(folder, "stand_in.py")):
                time.sleep(dice.uniform(0.1, 2.5))
                who = ("server", "job", "both")[killed.total() % 3]
                scripts = {"server": ("stand_in.py",), "job": ("serving_kills.py",)}
                if kill(folder, scripts.get(who, ("serving_kills.py", "stand_in.py"))):
                    killed[who] += 1
                    if who != "server":
                        job.wait()
            time.sleep(0.1)
        assert job is not None
        job.wait()
        asked_again += len(on_disk & {*asked(folder)[asked_before:]})
        found = json.loads((folder / "answers.json").read_text())
        until = time.monotonic() + 30
        while any(processes(folder, "stand_in.py")) and time.monotonic() < until:
            time.sleep(0.2)
        left = [*processes(folder, "stand_in.py"), *processes(folder, "guard.py")]
        wrong = sum(a != b for a, b in zip(found, expected, strict=True))
        extra = len(asked(folder)) - len(expected)
        print(f"kills: {', '.join(f'{number} of {who}' for who, number in killed.items()) or 'none'}")
        print(f"{died} jobs ended in one line, as their server was killed before it was ready, and were started again")
        print(f"{len(expected):,} answers, {wrong} of them wrong; {asked_again} asked for that were on disk")
        print(f"asked in vain, as a kill came before the reply was on disk: {extra}; processes left: {len(left)}")
        sys.exit(bool(wrong or asked_again or left or extra > 2 * SEQUENCES * killed.total()))


def asked(folder: Path) -> list[str]:
    """The questions that the server has answered so far."""
    log = folder / "asked.log"
    return log.read_text().splitlines() if log.exists() else []


def kept(folder: Path) -> set[str]:
    """The questions whose replies are on disk."""
    ledger = folder / "work/replies.jsonl"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return {json.loads(line)["text"].rpartition(" ")[0] for line in lines if line.endswith("}")}


if __name__ == "__main__":
    main()
