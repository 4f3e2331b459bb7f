"""Lists of web addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_files import CRAWLER, SETTINGS, picture, rows_of, source, tree
from sharegpt4v.config.sources import Img2Dataset, Sources
from sharegpt4v.errors import UserError
from sharegpt4v.images import crawler
from sharegpt4v.images.findings import read_reasons
from sharegpt4v.images.intake import look_at
from sharegpt4v.images.kinds.urls import read_url_list
from sharegpt4v.images.listing import Listing
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.images.urls import check_success_rate, fetch_urls
from sharegpt4v.mini.files_server import serve_folder


def test_names_of_a_url_list_have_to_be_safe_and_different(tmp_path: Path) -> None:
    path = tmp_path / "list.tsv"
    path.write_text("url\tname\nmini:web/0012.png\t0012.png\nhttps://h/b\tx/b.jpg\n")
    assert read_url_list(path, "http://s") == {"0012.png": "http://s/web/0012.png", "x/b.jpg": "https://h/b"}
    for line, complaint in [
        ("http://h/a\t../a.png", "line 2: name with '..'"),
        ("http://h/a", "line 2: .* expected a URL, a tab"),
        ("http://h/a\ta.png\nhttp://h/b\ta.png", "line 3: the name 'a.png' was given before"),
    ]:
        path.write_text(f"url\tname\n{line}\n")
        with pytest.raises(UserError, match=complaint):
            read_url_list(path)
    path.write_text("http://h/a\ta.png\n")
    with pytest.raises(UserError, match=r"line 1: .* expected the tab-separated columns url and name"):
        read_url_list(path)


def test_dead_urls_are_recorded_and_images_keep_their_names_and_bytes(tmp_path: Path) -> None:
    served = tmp_path / "served/web"
    names = [f"{number:04}.png" for number in range(12)]
    served.mkdir(parents=True)
    for number, name in enumerate(names):
        (served / name).write_bytes(picture(number, "GIF" if number == 5 else "PNG"))
    (served / "page").write_bytes(b"<html>gone</html>")
    lines = [f"mini:web/{name}\t{name}" for name in names]
    lines += [f"mini:web/dead{number}.png\tdead{number}.png" for number in range(3)]
    lines += ["http://127.0.0.1:9/closed.png\tclosed.png", "mini:web/page\tpage.jpg"]
    (served / "celebrity.tsv").write_text("\n".join(["url\tname", *lines]) + "\n")
    one = source("urls", "mini:web/celebrity.tsv", folder="web-celebrity/images")
    settings = SETTINGS.model_copy(
        update={
            "largest_bad_fraction": 0.1,
            "smallest_success_rate": 0.7,
            "allow_private_addresses": True,  # one of the URLs is of a port that nobody listens on
        }
    )
    with serve_folder(tmp_path / "served") as base_url:
        manifest = fetch_source(one, tmp_path / "data", tmp_path / "work", settings, base_url)
        rows, reasons = rows_of(manifest), read_reasons(manifest)
        folder = tmp_path / "data/web-celebrity/images"
        assert [(folder / name).read_bytes() for name in names] == [(served / name).read_bytes() for name in names]
        assert rows["web-celebrity/images/0005.png"]["note"] == "palette; GIF named .png"
        assert f"404: Not Found ({base_url}/web/dead1.png)" in reasons["web-celebrity/images/dead1.png"]
        assert "refused" in reasons["web-celebrity/images/closed.png"]
        assert reasons["web-celebrity/images/page.jpg"] == "not an image that can be read"
        # A failed URL is asked for again, what is there is not.
        (served / "dead1.png").write_bytes(picture())
        (served / "0003.png").write_bytes(b"changed")
        rows = rows_of(fetch_source(one, tmp_path / "data", tmp_path / "work", settings, base_url))
    assert rows["web-celebrity/images/dead1.png"]["status"] == "ok"
    assert (folder / "0003.png").read_bytes() == picture(3)
    assert [row["status"] for row in rows.values()].count("missing") == 3
    assert not (tmp_path / "work/coco/img2dataset").exists()


def test_another_server_another_folder_and_another_time_give_the_same_manifest(tmp_path: Path) -> None:
    served = tmp_path / "served/web"
    served.mkdir(parents=True)
    (served / "0.png").write_bytes(picture())
    (served / "cut.png").write_bytes(picture()[:40])
    lines = [f"mini:web/{name}\t{name}" for name in ("0.png", "cut.png", "dead.png")]
    (served / "celebrity.tsv").write_text("\n".join(["url\tname", *lines]) + "\n")
    one = source("urls", "mini:web/celebrity.tsv", folder="web-celebrity/images")
    settings = Sources(workers=1, missing="report", img2dataset=CRAWLER)
    manifests = []
    for number in range(2):
        folder = tmp_path / ("there/" * number) / "here"
        with serve_folder(tmp_path / "served") as base_url:
            manifests.append(fetch_source(one, folder / "data", folder / "work", settings, base_url))
    first, second = manifests
    assert read_reasons(first) != read_reasons(second)  # the port
    assert [row["status"] for row in read_manifest(first)] == ["ok", "broken", "missing"]
    assert first.read_bytes() == second.read_bytes()


def test_a_killed_round_of_urls_is_collected_first(tmp_path: Path) -> None:
    shard = tmp_path / "work/img2dataset/00000"
    shard.mkdir(parents=True)
    (shard / "0000000.jpg").write_bytes(picture())
    sha256 = look_at(shard / "0000000.jpg")["sha256"]
    (shard / "0000000.json").write_text(f'{{"name": "a.png", "sha256": "{sha256}"}}')
    (shard / "0000001.jpg").write_bytes(picture()[:20])
    (shard / "0000001.json").write_text(f'{{"name": "b.png", "sha256": "{sha256}"}}')
    (shard / "0000002.json").write_text('{"name": ')
    (tmp_path / "work/img2dataset/00000.parquet").write_bytes(b"PAR1 cut")
    listing = fetch_urls({"a.png": "http://127.0.0.1:9/a"}, tmp_path / "images", tmp_path / "work", SETTINGS)
    assert listing == Listing(["a.png"]) and tree(tmp_path / "images") == {"a.png"}


def test_too_many_dead_urls_are_told_with_the_commonest_reasons() -> None:
    failures = {f"{n}": f"HTTP Error 404: Not Found (http://h/{n})" for n in range(6)} | {"x": "timed out (http://h/x)"}
    check_success_rate("web", Listing(["a", "b", "c"], failures), 0.3)
    with pytest.raises(
        UserError, match=r"3 of 10 URLs .* at least 50%; .* 6 times HTTP Error 404: Not Found, 1 times tim"
    ):
        check_success_rate("web", Listing(["a", "b", "c"], failures), 0.5)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [("echo no disk; exit 3", r"ended with code 3 \(no disk\)"), (None, "cannot run .*img2dataset")],
)
def test_an_img2dataset_that_fails_is_told(tmp_path: Path, script: str | None, complaint: str) -> None:
    command = tmp_path / "img2dataset"
    if script:
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    with pytest.raises(UserError, match=complaint):
        fetch_urls({"a.png": "http://127.0.0.1:9/a"}, tmp_path / "images", tmp_path / "work", running(command))


def running(command: Path) -> Sources:
    """Settings under which a command of the test's own is img2dataset, and may ask this machine."""
    return Sources(img2dataset=Img2Dataset(command=command), allow_private_addresses=True)


def test_an_img2dataset_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawler, "STALL_S", 0.3)
    command = tmp_path / "img2dataset"
    command.write_text("#!/bin/sh\nsleep 300\n")
    command.chmod(0o755)
    listing = fetch_urls({"a.png": "http://127.0.0.1:9/a"}, tmp_path / "images", tmp_path / "work", running(command))
    assert listing.failures == {"a.png": "img2dataset gave no answer (http://127.0.0.1:9/a)"}
