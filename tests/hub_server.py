"""A server that speaks the part of Hugging Face's protocol that downloads need: commits, lists of files, files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from troublesome_server import serving as in_thread

COMMIT = "4481d270cc22fd5c0f5f8f5f8f5f8f5f8f5f8f5f"
LARGE = (".bin", ".safetensors", ".model")  # files that are kept outside git, listed with their SHA-256


class Hub(ThreadingHTTPServer):
    """One repository with one commit; `spoiled` is what is sent in place of a file, `cut` ends a body early once."""

    daemon_threads = True

    def __init__(self, id: str, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.id, self.files = id, files
        self.spoiled: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.ranges: list[str] = []
        self.sent: list[str] = []

    def about(self, name: str) -> dict[str, Any]:
        """How the file is listed."""
        content = self.files[name]
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        about: dict[str, Any] = {"size": len(content), "blobId": git, "oid": git}
        if name.endswith(LARGE):
            sha256 = hashlib.sha256(content).hexdigest()
            about["lfs"] = {"sha256": sha256, "oid": sha256, "size": len(content), "pointerSize": 134}
        return about

    def etag(self, name: str) -> str:
        about = self.about(name)
        return str(about["lfs"]["sha256"] if "lfs" in about else about["blobId"])


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.server, unquote(urlsplit(self.path).path)
        if path == f"/api/models/{hub.id}/commits/main":
            self._send_json(
                [{"id": COMMIT, "title": "", "message": "", "date": "2023-11-01T00:00:00.000Z", "authors": []}]
            )
        elif path == f"/api/models/{hub.id}/revision/{COMMIT}":
            siblings = [{"rfilename": name, **hub.about(name)} for name in sorted(hub.files)]
            self._send_json({"_id": "1", "id": hub.id, "sha": COMMIT, "siblings": siblings})
        elif path == f"/api/models/{hub.id}/tree/{COMMIT}":
            self._send_json([{"type": "file", "path": name, **hub.about(name)} for name in sorted(hub.files)])
        elif (name := path.removeprefix(f"/{hub.id}/resolve/{COMMIT}/")) in hub.files:
            self._send_file(name)
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _send_json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send_file(self, name: str) -> None:
        hub = self.server
        content = hub.spoiled.get(name, hub.files[name])
        asked = self.headers.get("Range")
        about = {"ETag": f'"{hub.etag(name)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start = 0
        if asked:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            about["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if self.command == "GET":
            hub.sent.append(name)
            if start:
                hub.ranges.append(f"{name} {asked}")
        self._send(
            206 if asked else 200, content[start:], about, hub.cut.pop(name, None) if self.command == "GET" else None
        )

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def serving(id: str, files: dict[str, bytes]) -> Iterator[Hub]:
    """Serve a repository."""
    with Hub(id, files) as hub, in_thread(hub):
        yield hub
