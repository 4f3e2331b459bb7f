"""The part of Hugging Face's protocol that uploads need: repositories, what is there, large files, commits."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from troublesome_server import serving as in_thread

LARGE = (".parquet", ".tar", ".safetensors", ".bin", ".model")
WRITER, READER = "hf_writerToken0123456789", "hf_readerToken0123456789"


@dataclass
class Repository:
    """What is in a repository: its files, and of each commit the names of the files in it and its description."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[list[str]] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return hashlib.sha1(repr(self.commits).encode()).hexdigest()


class UploadHub(ThreadingHTTPServer):
    """A Hub that keeps what is uploaded; `refused` are SHA-256s of files that are refused once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.requests: list[str] = []
        self.refused: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: UploadHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, id = self._path().removeprefix("/api/").removesuffix("/revision/main").partition("/")
        repository = self.server.repositories.get(f"{kind}/{id}")
        if repository is None:
            self._send(404, {"error": "Repository not found"})
        elif self._may(WRITER, READER):
            siblings = [{"rfilename": name} for name in sorted(repository.files)]
            about = {"id": id, "_id": "1", "sha": repository.sha, "private": repository.private, "siblings": siblings}
            self._send(200, about | {"tags": [], "downloads": 0})

    def do_PUT(self) -> None:
        oid, content = self._path().removeprefix("/lfs/"), self._body()
        assert "Authorization" not in self.headers  # the address is signed
        if oid in self.server.refused:
            self.server.refused.remove(oid)
            return self._send(403, {"error": "the address has expired"})
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.objects[oid] = content
        self.server.puts.append(oid)
        self._send(200, {})

    def do_POST(self) -> None:
        hub, path, body = self.server, self._path(), self._body()
        if path == "/api/validate-yaml":
            return self._send(200, {"warnings": [], "errors": []})
        if not self._may(WRITER):
            return None
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/lfs/verify":
            return self._send(200, {})
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._send(
                200, {"transfer": "basic", "objects": [self._object(one) for one in json.loads(body)["objects"]]}
            )
        kind, owner, name, verb = path.removeprefix("/api/").split("/")[:4]
        repository = hub.repositories[f"{kind}/{owner}/{name}"]
        if verb == "preupload":
            return self._send(
                200, {"files": [self._mode(repository, one["path"]) for one in json.loads(body)["files"]]}
            )
        assert verb == "commit"
        head, *lines = map(json.loads, body.splitlines())
        repository.descriptions.append(head["value"]["description"])
        repository.commits.append([self._add(repository, line) for line in lines])
        self._send(200, {"commitUrl": f"{hub.url}/{owner}/{name}/commit/{repository.sha}", "commitOid": repository.sha})

    def _create(self, asked: dict[str, Any]) -> None:
        kind = "datasets" if asked.get("type") == "dataset" else "models"
        id = f"{asked['organization']}/{asked['name']}"
        url = f"{self.server.url}/{'datasets/' if kind == 'datasets' else ''}{id}"
        if f"{kind}/{id}" in self.server.repositories:
            return self._send(409, {"error": "You already created this repo", "url": url})
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.server.repositories[f"{kind}/{id}"] = Repository(private)
        self._send(200, {"url": url})

    def _mode(self, repository: Repository, path: str) -> dict[str, Any]:
        large, content = path.endswith(LARGE), repository.files.get(path)
        about = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if content is None:
            return about
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return about | {"oid": hashlib.sha256(content).hexdigest() if large else git}

    def _object(self, asked: dict[str, Any]) -> dict[str, Any]:
        about = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] in self.server.objects:
            return about
        to = {"href": f"{self.server.url}/lfs/{asked['oid']}?X-Signature=secretsignature"}
        return about | {"actions": {"upload": to, "verify": {"href": f"{self.server.url}/lfs/verify"}}}

    def _add(self, repository: Repository, line: dict[str, Any]) -> str:
        value = line["value"]
        content = self.server.objects[value["oid"]] if line["key"] == "lfsFile" else base64.b64decode(value["content"])
        repository.files[value["path"]] = content
        return str(value["path"])

    def _path(self) -> str:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        return path

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _may(self, *tokens: str) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in tokens:
            return True
        known = token in (WRITER, READER)
        self._send(403 if known else 401, {"error": f"{token} may not do this" if known else f"{token} is not known"})
        return False

    def _send(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[UploadHub]:
    """Serve a Hub without repositories."""
    with UploadHub() as hub, in_thread(hub):
        yield hub
