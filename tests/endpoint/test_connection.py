"""The way to an endpoint: by a proxy where the environment names one, but never to this machine."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest

from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.endpoint.connection import Connection
from sharegpt4v.mini.endpoint import serve


def ask(base_url: str) -> str:
    """Ask an endpoint one question; return its answer."""

    async def asking() -> str:
        async with Connection(Endpoint(base_url=base_url, model="mini", api_key_variable=None)) as connection:
            body = {"model": "mini", "messages": [{"role": "user", "content": "Who are you?"}]}
            answer = await connection.request("POST", "chat/completions", body)
            return str(orjson.loads(answer.body)["choices"][0]["message"]["content"])

    return asyncio.run(asking())


class Proxy(BaseHTTPRequestHandler):
    """Answers in the place of whatever address it is asked for."""

    def do_POST(self) -> None:
        said = {"choices": [{"message": {"role": "assistant", "content": f"the proxy, for {self.path}"}}]}
        body = orjson.dumps(said)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_proxy_of_the_environment_is_asked_for_others_and_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy, serve(lambda image, prompt: "the endpoint") as endpoint:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        address = "http://teacher.invalid/v1"  # which only a proxy could find
        assert ask(address) == f"the proxy, for {address}/chat/completions"
        assert ask(endpoint) == "the endpoint"
        proxy.shutdown()
