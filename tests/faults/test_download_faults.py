"""Hostile servers and lists of addresses: a download ends in the right file or in one line, soon, and in its folder."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

import httpx
import pytest

from harness import CASES, Outcomes
from image_files import IMG2DATASET, picture
from mutations import mutated
from raw_server import RawServer, raw_server
from sharegpt4v.catalogues.sources import COLUMNS, Download, read_catalogue
from sharegpt4v.config.sources import Img2Dataset, Sources
from sharegpt4v.errors import UserError
from sharegpt4v.images import crawler as crawler_module
from sharegpt4v.images import transfer
from sharegpt4v.images.crawler_guard import is_public, objection
from sharegpt4v.images.fetch import Retries, fetch
from sharegpt4v.images.kinds.ocr_vqa import read_ocr_vqa
from sharegpt4v.images.kinds.urls import read_url_list
from sharegpt4v.images.transfer import Refused
from sharegpt4v.images.urls import fetch_urls

HEAD = b"HTTP/1.1 200 OK\r\n"
BODY = bytes(range(256)) * 20


def answer(content: bytes) -> Callable[[RawServer, str, socket], None]:
    return lambda server, path, connection: server.send(connection, content)


def whole(body: bytes, *headers: str) -> bytes:
    lines = [f"Content-Length: {len(body)}", *headers]
    return HEAD + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def quickly(download: Download, folder: Path, tries: int = 2, timeout_s: float = 0.3) -> Path:
    return fetch(download, folder, retries=Retries(tries, timeout_s, 0.001))


# Names

NAMES = [
    "..%2Fevil.zip", "..%2F..%2F..%2Ftmp%2Fevil.zip", "%2Ftmp%2Fevil.zip", "..%5Cevil.zip", "C%3A%5Cevil.zip",
    "a%00b.zip", "a%0Ab.zip", "..", "%2E%2E", ".", "con", "NUL.zip", "com1.tar", "x" * 300, "%ff.zip%ED%A0%80", "",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_download_stays_in_its_folder(tmp_path: Path, outcomes: Outcomes, name: str) -> None:
    (tmp_path / "in/downloads").mkdir(parents=True)
    with raw_server(answer(whole(BODY))) as server:
        fetched = outcomes.of(partial(quickly, Download(f"{server.base_url}/{name}"), tmp_path / "in/downloads"))
        assert fetched is None or fetched.parent == tmp_path / "in/downloads"
    assert not Path("/tmp/evil.zip").exists()
    files = {fetched.name, f"{fetched.name}.json"} if fetched else set()
    assert {path.name for path in tmp_path.rglob("*")} == {"in", "downloads", *files}
    if not fetched:
        cells = {"name": "a", "kind": "zip", "folder": "a", "address": f"https://h/{name}", "licence": "x"}
        row = "\t".join(cells.get(column, "") for column in COLUMNS)
        (tmp_path / "sources.tsv").write_text("\t".join(COLUMNS) + f"\n{row}\n")
        with pytest.raises(UserError, match=r"sources\.tsv, line 2: address .* does not end in a file name"):
            read_catalogue(tmp_path / "sources.tsv")


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://h/a.zip", "s3://h/a.zip", "https://h/a.zip https://h/a.zip.json"]
)
def test_a_catalogue_names_only_http_and_no_file_twice(tmp_path: Path, address: str) -> None:
    cells = {"name": "a", "kind": "zip", "folder": "a", "address": address, "licence": "x"}
    row = "\t".join(cells.get(column, "") for column in COLUMNS)
    (tmp_path / "sources.tsv").write_text("\t".join(COLUMNS) + f"\n{row}\n")
    with pytest.raises(UserError, match=r"sources\.tsv, line 2: (address|an address)"):
        read_catalogue(tmp_path / "sources.tsv")


# Redirects and pages

LOCATIONS = [
    None, "", "file:///etc/passwd", "ftp://h/a", "data:,x", "javascript:1", "http://[", "http://\x00", "http:///a",
    "//", "http://user:\xe9@/", "/a.zip", "http://h:99999999/",
]  # fmt: skip


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_redirect_leads_to_http_or_nowhere(tmp_path: Path, location: str | None) -> None:
    header = b"" if location is None else b"Location: " + location.encode("latin-1") + b"\r\n"
    moved = b"HTTP/1.1 302 Found\r\nContent-Length: 6\r\n" + header + b"\r\nroot:x"
    with raw_server(answer(moved)) as server, pytest.raises(UserError) as caught:
        quickly(Download(f"{server.base_url}/a.zip"), tmp_path)
    assert str(caught.value).isprintable() and not list(tmp_path.glob("*.zip*"))


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Log in", b"\xef\xbb\xbf\n <HTML>", b"<html lang=en>"])
def test_a_page_of_a_login_is_no_archive(tmp_path: Path, page: bytes) -> None:
    with raw_server(answer(whole(page))) as server:
        (tmp_path / "a.zip").write_bytes(b"here already")
        with pytest.raises(Refused, match="gives a web page in its place; it may need a login"):
            quickly(Download(f"{server.base_url}/b.zip"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip"}


# Sizes and time


def endless(server: RawServer, path: str, connection: socket) -> None:
    server.send(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not server.stop.is_set():
        server.send(connection, b"10000\r\n" + bytes(0x10000) + b"\r\n")


@pytest.mark.parametrize("known", [{"bytes": 5_000_000}, {"about_bytes": 2_500_000}])
def test_a_body_past_the_known_size_is_cut_off_there(tmp_path: Path, known: dict[str, int]) -> None:
    with raw_server(endless) as server:
        with pytest.raises(UserError, match=r"sends more than the .* bytes of the catalogue"):
            quickly(Download(f"{server.base_url}/a.zip", **known), tmp_path, timeout_s=5)  # type: ignore[arg-type]
        assert server.sent < 20_000_000
    assert not list(tmp_path.glob("*.part"))
    with raw_server(answer(whole(bytes(6_000_000)))) as server, pytest.raises(UserError, match="catalogue"):
        quickly(Download(f"{server.base_url}/a.zip", **known), tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("a.zip*"))


def test_a_download_stops_before_the_disk_is_full(tmp_path: Path) -> None:
    message = r"5,120 bytes are to come, .* are to stay so; make room, or lower"
    with raw_server(answer(whole(BODY))) as server, pytest.raises(UserError, match=message):
        fetch(Download(f"{server.base_url}/a.zip"), tmp_path, keep_free_bytes=1 << 60)
    with raw_server(endless) as server:
        with pytest.raises(UserError, match="make room"):
            fetch(Download(f"{server.base_url}/a.zip"), tmp_path, keep_free_bytes=1 << 60)
        assert server.sent < 100_000_000


def dripping_body(server: RawServer, path: str, connection: socket) -> None:
    server.send(connection, HEAD + b"Content-Length: 100000\r\n\r\n")
    server.drip(connection, bytes(100_000), 0.02)


def dripping_header(server: RawServer, path: str, connection: socket) -> None:
    server.drip(connection, HEAD + b"X: " + b"x" * 90_000, 0.02)


def cutting(server: RawServer, path: str, connection: socket) -> None:
    server.send(connection, HEAD + b'ETag: "1"\r\nContent-Length: 100000\r\n\r\nx')


@pytest.mark.parametrize("bad", [dripping_body, dripping_header, cutting])
def test_a_server_that_drips_is_given_up(tmp_path: Path, bad: Callable[[RawServer, str, socket], None]) -> None:
    with raw_server(bad) as server:
        began = time.monotonic()
        with pytest.raises(UserError, match=r"2 times in a row after [01\d]+ bytes; they are kept"):
            quickly(Download(f"{server.base_url}/a.zip"), tmp_path)
        assert time.monotonic() - began < 6 and len(server.paths) == 2


# Whatever else a server may say

HEADERS = {
    "Content-Length": ["0", "-1", "+5", "²", "9" * 18, "9" * 400, "5120", "5121", "5119", "x", "", "5120, 5120"],
    "Content-Range": ["bytes 0-1/2", "bytes */0", "bytes 9-", "\xff", "bytes 0-5119/5120"],
    "ETag": ['"', '"é"', 'W/"1"', '"\xff\xfe"', '"' + "x" * 9_000 + '"', '"\t"'],
    "Last-Modified": ["yesterday", "\xe9", "Thu, 01 Jan 1970 00:00:00 GMT"],
    "Retry-After": ["²", "-1", "inf", "9" * 400, "1e9", "Thu, 01 Jan 1970 00:00:00 GMT", "0"],
    "Location": ["/", "//", "\xff", "http://[", "x" * 9_000, "file:///etc/passwd"],
    "Transfer-Encoding": ["chunked", "gzip", "chunked, chunked", "identity"],
    "Content-Encoding": ["gzip", "br", "x"],
    "Content-Type": ["text/html", "\xff"],
}
STATUSES = [
    b"200 OK", b"206 Partial", b"304 Not", b"302 Found", b"416 Range", b"429 Slow", b"500 \xff\x01", b"99", b"204 No",
    b"100 Continue", b"1000 X", b"403 Forbidden",
]  # fmt: skip
BODIES = [BODY, b"", BODY[:100], b"5\r\nhello\r\n0\r\n\r\n", b"fffffffff\r\nx", b"-1\r\n", b"\0" * 70_000]


def hostile_response(chosen: random.Random) -> bytes:
    lines = [b"HTTP/1.1 " + chosen.choice(STATUSES)]
    for name in chosen.sample(list(HEADERS), chosen.randint(0, 4)):
        lines.append(
            name.encode()
            + b": "
            + chosen.choice(HEADERS[name]).encode("utf-8" if chosen.random() < 0.5 else "latin-1", "replace")
        )
    response = b"\r\n".join(lines) + b"\r\n\r\n" + chosen.choice(BODIES)
    return mutated(response, chosen) if chosen.random() < 0.3 else response


def test_whatever_a_server_says_ends_in_a_file_or_in_one_line(
    tmp_path: Path, outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "LONGEST_WAIT_S", 0.01)
    chosen = random.Random("downloads")
    said: list[bytes] = []

    def say(server: RawServer, path: str, connection: socket) -> None:
        said.append(hostile_response(chosen))
        server.send(connection, said[-1])

    pinned: list[tuple[Any, ...]] = [(), (5_120,), (None, "0" * 64)]
    with raw_server(say) as server:
        for number in range(CASES):
            download = Download(f"{server.base_url}/{number % 7}.zip", *chosen.choice(pinned))
            said.clear()
            fetched = outcomes.of(partial(quickly, download, tmp_path / "downloads", timeout_s=0.1))
            if fetched and said:
                assert any(fetched.read_bytes()[-50:] in one for one in said) or download.bytes == 5_120, said
            if fetched and chosen.random() < 0.8:
                fetched.unlink()
    found = {path.relative_to(tmp_path).as_posix().partition(".")[0] for path in tmp_path.rglob("*")}
    assert found <= {"downloads", *(f"downloads/{number}" for number in range(7))}


# Two at once

FETCH = """
import sys
from pathlib import Path
from sharegpt4v.errors import UserError
from sharegpt4v.catalogues.sources import Download
from sharegpt4v.images.fetch import Retries, fetch
try:
    print(fetch(Download(sys.argv[1]), Path(sys.argv[2])).stat().st_size)
except UserError as error:
    sys.exit(str(error))
"""


def test_of_two_fetches_of_one_file_the_second_is_told_who_fetches_it(tmp_path: Path) -> None:
    second_was_told = threading.Event()

    def half(server: RawServer, path: str, connection: socket) -> None:
        content = whole(BODY, 'ETag: "1"')
        server.send(connection, content[:-2_000])
        second_was_told.wait(60)
        server.send(connection, content[-2_000:])

    with raw_server(half) as server:
        command = [sys.executable, "-c", FETCH, f"{server.base_url}/images.zip", str(tmp_path)]
        first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while not list(tmp_path.glob("*.part")):
            time.sleep(0.01)
        second = subprocess.run(command, capture_output=True, text=True)
        second_was_told.set()
        told = first.communicate()[0]
        assert (first.returncode, told) == (0, f"{len(BODY)}\n")
        assert second.returncode == 1 and f"process {first.pid} on" in second.stderr and "wait" in second.stderr
    assert (tmp_path / "images.zip").read_bytes() == BODY
    assert {path.name for path in tmp_path.iterdir()} == {"images.zip", "images.zip.json"}


# Lists of web addresses

PRIVATE = [
    "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
]  # fmt: skip


def test_addresses_that_are_not_public_are_known() -> None:
    assert not [address for address in PRIVATE if is_public(address, default=True)]
    assert all(map(is_public, ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]))
    for address in PRIVATE:
        host = f"[{address}]" if ":" in address else address
        assert objection(f"http://{host}:80/a.jpg"), address
    for url in ("file:///etc/passwd", "ftp://h/a", "data:,x", "http://", "http://[", "//h/a", "http://h/a b", "http://h/\n",
                "http://h:99999/", "", "gopher://h", "http://localhost/a", "HTTP+UNIX://x"):  # fmt: skip
        assert objection(url), url
    assert not objection("https://h.org/a.jpg") and not objection("http://127.0.0.1:5/a", ("127.0.0.1:5",))


def test_a_list_reaches_no_private_address_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by its own words, nor by names that resolve to one, nor by redirects of the server that it may ask."""
    monkeypatch.setattr(crawler_module, "SLOWEST", 3)
    monkeypatch.setattr(crawler_module, "MOST_BYTES", 1_000_000)
    image = picture()
    (tmp_path / "secret.png").write_bytes(image)

    def serve(server: RawServer, path: str, connection: socket) -> None:
        if path == "/good.png":
            return server.send(connection, whole(image))
        if path == "/endless":
            return endless(server, path, connection)
        if path in ("/drip", "/drip-header"):
            server.send(connection, HEAD)
            return server.drip(connection, b"X: " + bytes(range(65, 91)) * 9_999, 0.1)
        target = {"/to-file": f"file://{tmp_path}/secret.png", "/to-ftp": "ftp://127.0.0.1/x", "/circle": "/circle"}
        location = target.get(path, f"http://{path.removeprefix('/to-')}:{canary.server_address[1]}/secret.png")
        server.send(
            connection, b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location.encode() + b"\r\n\r\n"
        )

    settings = Sources(img2dataset=Img2Dataset(command=IMG2DATASET, threads=16, timeout_seconds=3, retries=0))
    with raw_server(answer(whole(image))) as canary, raw_server(serve) as server:
        port = canary.server_address[1]
        hosts = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
        urls = {f"direct{number}.png": f"http://{host}:{port}/secret.png" for number, host in enumerate(hosts)}
        urls |= {f"redirected{number}.png": f"{server.base_url}/to-{host}" for number, host in enumerate(hosts)}
        urls |= {path: f"{server.base_url}/{path}" for path in ("to-file", "to-ftp", "circle", "endless", "drip")}
        urls |= {"file.png": f"file://{tmp_path}/secret.png", "data.png": "data:image/png;base64,AAAA"}
        urls |= {"good.png": f"{server.base_url}/good.png"}
        began = time.monotonic()
        listing = fetch_urls(urls, tmp_path / "images", tmp_path / "work", settings, server.base_url)
        assert listing.found == ["good.png"], listing
        assert (tmp_path / "images/good.png").read_bytes() == image
        assert canary.paths == [] and time.monotonic() - began < 60
        assert set(listing.failures) == urls.keys() - {"good.png"}
        private = [why for name, why in listing.failures.items() if "private network" in why]
        assert len(private) >= 2 * len(hosts) - 2, listing.failures  # `[::1]` may not be there at all
        assert "more than 1,000,000 bytes" in listing.failures["endless"] and server.sent < 30_000_000
        assert "more than 9 seconds" in listing.failures["drip"]
        assert httpx.get(urls["direct0.png"]).content == image  # it was there to be reached


def test_what_a_list_says_is_one_line_or_a_url(tmp_path: Path, outcomes: Outcomes) -> None:
    chosen = random.Random("lists")
    tsv = b"url\tname\nhttps://h/a.png\ta.png\nhttps://h/b.png\tx/b.png\n"
    ocr = b'{"1": {"imageURL": "https://h/1.jpg", "title": "x"}, "2": {"imageURL": "https://h/2.jpg"}}'
    for number in range(CASES):
        read, content = ((read_url_list, tsv), (read_ocr_vqa, ocr))[number % 2]
        (tmp_path / "list").write_bytes(mutated(content, chosen, [tsv, ocr]))
        urls = outcomes.of(partial(read, tmp_path / "list"))
        for name, url in (urls or {}).items():
            assert isinstance(url, str) and Path(os.path.normpath(tmp_path / name)).is_relative_to(tmp_path)
    for value in (None, 1, ["https://h/1.jpg"], {"a": 1}, True):
        (tmp_path / "list").write_text(__import__("json").dumps({"1": {"imageURL": value}}))
        assert outcomes.of(partial(read_ocr_vqa, tmp_path / "list")) is None


# The end of img2dataset

CRAWL = """
import sys
from pathlib import Path
from sharegpt4v.config.sources import Img2Dataset, Sources
from sharegpt4v.images.urls import fetch_urls
img2dataset = Img2Dataset(command=Path(sys.argv[1]), threads=2, timeout_seconds=600)
settings = Sources(img2dataset=img2dataset, allow_private_addresses=True)
work = Path(sys.argv[3])
fetch_urls({f"{n}.png": f"{sys.argv[2]}/{n}" for n in range(9)}, work / "images", work, settings)
"""


def processes_with(text: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "environ").read_bytes() and (folder / "stat").read_text().split()[2] != "Z":
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP][: 3 if CASES > 1_000 else 1])
def test_img2dataset_ends_with_the_job_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    mark = f"S4V_TEST_MARK={tmp_path}"
    environment = os.environ | {"S4V_TEST_MARK": str(tmp_path)}
    with raw_server(lambda server, path, connection: server.drip(connection, HEAD * 999, 0.5)) as server:
        command = [sys.executable, "-c", CRAWL, str(IMG2DATASET), server.base_url, str(tmp_path)]
        job = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while not server.paths:  # a worker of img2dataset is downloading
            time.sleep(0.05)
            assert job.poll() is None
        assert len(processes_with(mark)) >= 3
        job.send_signal(number)
        job.wait()
        until = time.monotonic() + 5
        while left := processes_with(mark):
            assert time.monotonic() < until, left
            time.sleep(0.05)
