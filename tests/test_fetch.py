"""Downloads over real HTTP: what a cut connection, a careless server, a wrong file or a kill may and may not do."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from sharegpt4v.errors import UserError
from sharegpt4v.images.catalogue import Download
from sharegpt4v.images.fetch import fetch, shown
from sharegpt4v.mini.files_server import serve_folder

CONTENT = bytes(range(256)) * 4_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Troublesome(ThreadingHTTPServer):
    """A server of one file that can cut connections, ignore Range, refuse, and change the file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.version = CONTENT, '"one"'
        self.knows_range = True
        self.cuts: list[int] = []  # bytes after which the next responses are cut
        self.refusals: list[int] = []  # statuses of the next responses
        self.ranges: list[str | None] = []  # what was asked for

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/images.zip"


class Handler(BaseHTTPRequestHandler):
    server: Troublesome

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.refusals:
            self.send_error(server.refusals.pop(0))
            return
        start = 0
        if asked and server.knows_range and self.headers.get("If-Range") in (None, server.version):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", server.version)
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)
        self.close_connection = True

    def log_message(self, *parts: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Troublesome]:
    with Troublesome() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetched(download: Download, folder: Path, tries: int = 3) -> bytes:
    return fetch(download, folder, tries=tries, first_wait_s=0.01).read_bytes()


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_cut_download_goes_on_where_it_was_cut(server: Troublesome, tmp_path: Path) -> None:
    server.cuts = [300_000, 200_000]
    assert fetched(Download(server.address, len(CONTENT), SHA256), tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=500000-"]
    assert leftovers(tmp_path) == {"images.zip", "images.zip.json"}


def test_a_download_that_was_given_up_goes_on_in_the_next_run(server: Troublesome, tmp_path: Path) -> None:
    server.cuts, server.refusals = [300_000], []
    with pytest.raises(UserError, match="300,000 bytes; they are kept"):
        fetch(Download(server.address), tmp_path, tries=1)
    assert not (tmp_path / "images.zip").exists()
    assert fetched(Download(server.address), tmp_path) == CONTENT
    assert server.ranges[-1] == "bytes=300000-"


def test_many_cuts_are_no_reason_to_give_up_while_bytes_come(server: Troublesome, tmp_path: Path) -> None:
    server.cuts = [100_000] * 8
    assert fetched(Download(server.address), tmp_path, tries=2) == CONTENT


def test_a_server_that_ignores_range_sends_all_again(server: Troublesome, tmp_path: Path) -> None:
    server.knows_range, server.cuts = False, [300_000]
    assert fetched(Download(server.address, len(CONTENT), SHA256), tmp_path) == CONTENT


def test_two_versions_of_a_file_are_never_joined(server: Troublesome, tmp_path: Path) -> None:
    server.cuts = [300_000]
    with pytest.raises(UserError):
        fetch(Download(server.address), tmp_path, tries=1)
    server.content, server.version = CONTENT[::-1], '"two"'
    assert fetched(Download(server.address), tmp_path) == CONTENT[::-1]


def test_a_download_killed_before_it_got_its_name_gets_it(server: Troublesome, tmp_path: Path) -> None:
    fetch(Download(server.address), tmp_path).rename(tmp_path / "images.zip.part")
    assert fetched(Download(server.address), tmp_path) == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT)}-"]


def test_busy_servers_are_tried_again_and_refusals_are_not(server: Troublesome, tmp_path: Path) -> None:
    server.refusals = [503, 429]
    assert fetched(Download(server.address), tmp_path / "busy") == CONTENT
    server.ranges, server.refusals = [], [403, 403]
    with pytest.raises(UserError, match="403 Forbidden; the link may have expired"):
        fetch(Download(server.address), tmp_path / "refused")
    assert len(server.ranges) == 1


@pytest.mark.parametrize(
    ("download", "complaint"),
    [
        ({"bytes": len(CONTENT) - 1}, "offers 1,024,000 bytes, expected 1,023,999"),
        ({"sha256": "0" * 64}, f"SHA-256 {SHA256}, expected 0000"),
    ],
)
def test_a_wrong_file_never_gets_the_name(
    server: Troublesome, tmp_path: Path, download: dict[str, int | str], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        fetch(Download(server.address, **download), tmp_path)  # type: ignore[arg-type]
    assert not {name for name in leftovers(tmp_path) if not name.endswith(".json")}


def test_what_was_fetched_is_kept_until_the_server_has_another_version(server: Troublesome, tmp_path: Path) -> None:
    fetch(Download(server.address, sha256=SHA256), tmp_path / "hashed")
    asked = len(server.ranges)
    fetch(Download(server.address, sha256=SHA256), tmp_path / "hashed")
    assert len(server.ranges) == asked, "a known hash needs no server"
    fetch(Download(server.address), tmp_path)
    server.content, server.version = b"newer", '"two"'
    assert fetched(Download(server.address), tmp_path) == b"newer"


def test_a_server_that_is_away_takes_nothing_from_us(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/images.zip").write_bytes(CONTENT)
    with serve_folder(tmp_path / "served") as base_url:
        fetch(Download(f"{base_url}/images.zip"), tmp_path)
    assert fetched(Download(f"{base_url}/images.zip"), tmp_path) == CONTENT
    with pytest.raises(UserError, match=r"2 times in a row after 0 bytes"):
        fetched(Download(f"{base_url}/other.zip"), tmp_path, tries=2)


def test_the_file_server_answers_head_range_and_conditions(tmp_path: Path) -> None:
    (tmp_path / "images.zip").write_bytes(CONTENT)
    with serve_folder(tmp_path) as base_url, httpx.Client(base_url=base_url, trust_env=False) as client:
        head = client.head("/images.zip")
        assert int(head.headers["Content-Length"]) == len(CONTENT) and not head.content
        piece = client.get("/images.zip", headers={"Range": "bytes=10-19"})
        assert (piece.status_code, piece.content) == (206, CONTENT[10:20])
        assert client.get("/images.zip", headers={"If-None-Match": head.headers["ETag"]}).status_code == 304
        assert client.get("/../test_fetch.py").status_code == 404


def test_secrets_of_an_address_are_not_shown(server: Troublesome, tmp_path: Path) -> None:
    assert shown("https://me:word@host.org/a/sa_000000.tar?token=abc") == "https://host.org/a/sa_000000.tar"
    server.refusals = [404]
    with pytest.raises(UserError) as caught:
        fetch(Download(f"{server.address}?token=abc"), tmp_path)
    assert "abc" not in str(caught.value)
