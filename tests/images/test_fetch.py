"""Downloads over real HTTP: what a cut connection, a careless server, a wrong file or a kill may and may not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sharegpt4v.catalogues.sources import Download
from sharegpt4v.errors import UserError
from sharegpt4v.images.connection import redacted
from sharegpt4v.images.fetch import Retries, fetch
from sharegpt4v.images.transfer import Refused
from sharegpt4v.mini.files_server import serve_folder
from troublesome_server import CONTENT, SHA256, Troublesome, troublesome


@pytest.fixture
def server() -> Iterator[Troublesome]:
    with troublesome() as server:
        yield server


def fetched(download: Download, folder: Path, tries: int = 3) -> bytes:
    return fetch(download, folder, retries=Retries(tries, first_wait_s=0.01)).read_bytes()


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
        fetch(Download(server.address), tmp_path, retries=Retries(1))
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
        fetch(Download(server.address), tmp_path, retries=Retries(1))
    server.content, server.version = CONTENT[::-1], '"two"'
    assert fetched(Download(server.address), tmp_path) == CONTENT[::-1]


def test_a_download_killed_before_it_got_its_name_gets_it(server: Troublesome, tmp_path: Path) -> None:
    fetch(Download(server.address), tmp_path).rename(tmp_path / "images.zip.part")
    assert fetched(Download(server.address), tmp_path) == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT)}-"]


def test_redirects_are_followed_also_to_the_rest_of_a_file(server: Troublesome, tmp_path: Path) -> None:
    server.cuts = [300_000]
    moved = Download(f"{server.base_url}/moved/images.zip", len(CONTENT), SHA256)
    assert fetched(moved, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=300000-"]
    with pytest.raises(UserError, match=r"/round: .*redirects; correct the catalogue") as caught:
        fetch(Download(f"{server.base_url}/round"), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_server_that_falls_silent_is_left_and_asked_for_the_rest(server: Troublesome, tmp_path: Path) -> None:
    server.stalls = [400_000]
    download = Download(server.address, len(CONTENT), SHA256)
    assert fetch(download, tmp_path, retries=Retries(3, 0.2, 0.01)).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=400000-"]


def test_a_slow_server_is_waited_for(server: Troublesome, tmp_path: Path) -> None:
    server.stalls = [400_000]
    assert fetched(Download(server.address), tmp_path) == CONTENT
    assert server.ranges == [None]


def test_a_server_that_claims_more_bytes_than_it_has_is_not_believed(server: Troublesome, tmp_path: Path) -> None:
    server.knows_range, server.claimed = False, [len(CONTENT) + 1_000] * 3
    with pytest.raises(UserError, match="2 times in a row after 1,024,000 bytes; they are kept"):
        fetched(Download(server.address), tmp_path, tries=2)
    assert not (tmp_path / "images.zip").exists()


def test_a_server_that_claims_fewer_bytes_is_found_out_by_the_hash(server: Troublesome, tmp_path: Path) -> None:
    server.claimed = [500_000]
    with pytest.raises(UserError, match=f"SHA-256 .*, expected {SHA256}"):
        fetched(Download(server.address, sha256=SHA256), tmp_path)
    server.claimed = [500_000]
    with pytest.raises(UserError, match=r"MD5 .*, expected 00000"):
        fetched(Download(server.address, sha256="0" * 32), tmp_path)


def test_another_piece_than_was_asked_for_is_thrown_away(server: Troublesome, tmp_path: Path) -> None:
    server.cuts, server.wrong_ranges = [300_000], 1
    assert fetched(Download(server.address, len(CONTENT), SHA256), tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=300000-", None]


def test_a_link_that_expires_in_the_middle_keeps_what_came_for_a_new_one(server: Troublesome, tmp_path: Path) -> None:
    server.cuts = [300_000]
    old, new = (Download(f"{server.base_url}/{path}?oh=secret", name="sa_000000.tar") for path in ("old", "new"))
    with pytest.raises(UserError):
        fetched(old, tmp_path, tries=1)
    server.expired = {"/old"}
    with pytest.raises(Refused, match=r"sa_000000\.tar: the server answered 403 Forbidden; the link may have expired"):
        fetched(old, tmp_path)
    assert fetched(new, tmp_path) == CONTENT
    assert server.ranges[-1] == "bytes=300000-" and leftovers(tmp_path) == {"sa_000000.tar", "sa_000000.tar.json"}


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
    assert redacted("https://me:word@host.org/a/sa_000000.tar?token=abc") == "https://host.org/a/sa_000000.tar"
    server.refusals = [404]
    with pytest.raises(UserError) as caught:
        fetch(Download(f"{server.address}?token=abc"), tmp_path)
    assert "abc" not in str(caught.value)
