"""A source from its address to its manifest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from image_files import SETTINGS, picture, rows_of, source, tree, write_tar, write_zip
from sharegpt4v import layout
from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.image_paths import safe_name
from sharegpt4v.images.findings import read_reasons
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.mini.files_server import serve_folder


def test_a_source_of_two_archives_is_fetched_killed_and_continued(tmp_path: Path) -> None:
    served, data, work = tmp_path / "served", tmp_path / "data", tmp_path / "work"
    write_tar(served / "sam/sa_000000.tar", {f"./sa_{number}.jpg": picture(number, "JPEG") for number in range(9)})
    one = source("tar", "mini:sam/sa_000000.tar", "mini:sam/sa_000001.tar", folder="sam/images")
    with serve_folder(served) as base_url:
        with pytest.raises(UserError, match=r"sa_000001\.tar: the server answered 404"):
            fetch_source(one, data, work, SETTINGS, base_url)
        assert len(tree(data)) == 9 and not layout.manifest("coco", data).exists()
        write_tar(served / "sam/sa_000001.tar", {"sa_9.jpg": picture(9, "JPEG"), "sa_9.json": b"{}"})
        manifest = fetch_source(one, data, work, SETTINGS, base_url)
        once = manifest.read_bytes()
        assert [row["path"] for row in read_manifest(manifest)] == [
            f"sam/images/sa_{number}.jpg" for number in range(10)
        ]
        (data / "sam/images/sa_3.jpg").unlink()
        manifest.unlink()
        assert fetch_source(one, data, work, SETTINGS, base_url).read_bytes() == once
        # Another world under the same names, of the same sizes: nothing of the old one may stay.
        write_tar(served / "sam/sa_000001.tar", {"sa_9.jpg": picture(200, "JPEG")})
        assert fetch_source(one, data, work, SETTINGS, base_url).read_bytes() != once
        assert (data / "sam/images/sa_9.jpg").read_bytes() == picture(200, "JPEG")


@pytest.mark.parametrize("sign", ["data/coco/train2017/200.png", "work/coco/decoded-200000000.jsonl"])
def test_a_source_killed_while_unpacking_or_decoding_ends_as_if_it_had_not_been(tmp_path: Path, sign: str) -> None:
    archive = write_zip(tmp_path / "a.zip", {f"{number}.png": picture(number, size=(99, 99)) for number in range(1500)})
    script = """if __name__ == "__main__":
    import sys; from pathlib import Path; from sharegpt4v.catalogues.sources import Download, Source
    from sharegpt4v.config.sources import Sources
    from sharegpt4v.images.stage import fetch_source
    one = Source("coco", "zip", "coco/train2017", (Download(sys.argv[1]),), licence="test")
    fetch_source(one, Path(sys.argv[2], "data"), Path(sys.argv[2], "work"), Sources(workers=1))"""
    with subprocess.Popen([sys.executable, "-c", script, archive, tmp_path], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (tmp_path / sign).exists():
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL and not layout.manifest("coco", tmp_path / "data").exists()
    resumed = fetch_source(source("zip", str(archive)), tmp_path / "data", tmp_path / "work", SETTINGS)
    clean = fetch_source(source("zip", str(archive)), tmp_path / "clean", tmp_path / "clean", SETTINGS)
    assert resumed.read_bytes() == clean.read_bytes()
    assert tree(tmp_path / "data/coco/train2017") == {f"{number}.png" for number in range(1500)}


def test_archives_may_go_once_unpacked_and_are_fetched_again_when_an_image_is_lost(tmp_path: Path) -> None:
    write_zip(tmp_path / "served/train2017.zip", {f"train2017/{number}.jpg": picture(number) for number in range(3)})
    one = source("zip", "mini:train2017.zip", strip_prefix="train2017/")
    settings = Sources(workers=1, keep_archives=False)
    with serve_folder(tmp_path / "served") as base_url:
        fetch_source(one, tmp_path / "data", tmp_path / "work", settings, base_url)
    assert not (tmp_path / "work/coco/downloads/train2017.zip").exists()
    manifest = fetch_source(one, tmp_path / "data", tmp_path / "work", settings, base_url)  # the server is away now
    assert list(rows_of(manifest)) == [f"coco/train2017/{number}.jpg" for number in range(3)]
    (tmp_path / "data/coco/train2017/1.jpg").unlink()
    with serve_folder(tmp_path / "served") as base_url:
        fetch_source(one, tmp_path / "data", tmp_path / "work", settings, base_url)
    assert (tmp_path / "data/coco/train2017/1.jpg").read_bytes() == picture(1)


def test_too_many_bad_images_stop_the_run_and_the_findings_say_why(tmp_path: Path) -> None:
    members = {f"{number}.png": picture(number) for number in range(8)} | {"cut.png": picture()[:40], "../e.png": b"x"}
    one = source("zip", str(write_zip(tmp_path / "a.zip", members)))
    with pytest.raises(UserError, match=r"of 10 files 1 are broken and 1 missing, more than the allowed 1\.0%"):
        fetch_source(one, tmp_path / "data", tmp_path / "work", SETTINGS)
    manifest = layout.manifest("coco", tmp_path / "data")
    assert read_reasons(manifest)[r"coco/train2017/..\u002fe.png"] == "name with '..'"
    assert rows_of(manifest)[r"coco/train2017/..\u002fe.png"]["status"] == "missing"
    lenient = Sources(workers=1, largest_bad_fraction=0.2)
    fetch_source(one, tmp_path / "data", tmp_path / "work", lenient)
    short = source("zip", str(tmp_path / "a.zip"), images=20)
    with pytest.raises(UserError, match="of 20 files 1 are broken and 11 missing"):
        fetch_source(short, tmp_path / "data", tmp_path / "work", lenient)


def test_what_missing_images_do_is_the_configs_to_say(tmp_path: Path) -> None:
    members = {f"{number}.png": picture(number) for number in range(200)} | {"cut.png": picture()[:40]}
    one = source("zip", str(write_zip(tmp_path / "a.zip", members)), images=202)

    def fetched(**how: object) -> int:
        settings = Sources(workers=1, **how)  # type: ignore[arg-type]
        return len(rows_of(fetch_source(one, tmp_path / "data", tmp_path / "work", settings)))

    assert fetched() == fetched(missing="drop") == 201
    with pytest.raises(
        UserError, match=r"of 202 files 1 are broken and 1 missing, more than the allowed 0\.0%; .*coco\.csv"
    ):
        fetched(missing="fail")
    with pytest.raises(UserError, match="more than the allowed"):
        fetched(missing="drop", largest_bad_fraction=0.001)
    assert fetched(missing="report", largest_bad_fraction=0.001) == 201


def test_a_source_behind_a_login_says_what_to_do(tmp_path: Path) -> None:
    one = source("zip", "https://h/a.zip", login="accept the terms at https://h and download a.zip")
    with pytest.raises(UserError, match=r"downloads/a\.zip is not there; accept the terms .*; put the file there"):
        fetch_source(one, tmp_path / "data", tmp_path / "work", SETTINGS)
    write_zip(tmp_path / "work/coco/downloads/a.zip", {"a.png": picture()})
    assert len(rows_of(fetch_source(one, tmp_path / "data", tmp_path / "work", SETTINGS))) == 1


def test_annotation_files_are_placed_and_pinned(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/captions.json").write_text("[]")
    write_zip(tmp_path / "served/eval.zip", {"mmvet/q.jsonl": b"{}", "mmvet/images/a.png": picture()})
    captions = source("file", "mini:captions.json", folder="coco/annotations/captions.json", images=0)
    evaluation = source("zip", "mini:eval.zip", folder="eval", images=0)
    with serve_folder(tmp_path / "served") as base_url:
        (row,) = read_manifest(fetch_source(captions, tmp_path / "data", tmp_path / "work/a", SETTINGS, base_url))
        rows = rows_of(fetch_source(evaluation, tmp_path / "data", tmp_path / "work/b", SETTINGS, base_url))
    assert (tmp_path / "data/coco/annotations/captions.json").read_text() == "[]"
    assert (row["path"], row["bytes"], row["status"]) == ("coco/annotations/captions.json", 2, "ok")
    assert list(rows) == ["eval/mmvet/images/a.png", "eval/mmvet/q.jsonl"]
    assert all(len(one["sha256"]) == 64 and one["width"] == 0 for one in rows.values())


def test_a_folder_of_photographs_is_read_in_place(tmp_path: Path) -> None:
    skimage, sklearn = pytest.importorskip("skimage"), pytest.importorskip("sklearn")
    mine = tmp_path / "my photographs"
    shutil.copytree(Path(skimage.__file__).parent / "data", mine / "skimage")
    shutil.copytree(Path(sklearn.__file__).parent / "datasets/images", mine / "sklearn")
    (mine / "broken.jpg").write_bytes((mine / "sklearn/china.jpg").read_bytes()[:5_000])
    one = source("folder", str(mine), folder="mine/images")
    settings = Sources(workers=1, largest_bad_fraction=0.1)
    manifest = fetch_source(one, tmp_path / "data", tmp_path / "work", settings)
    rows, once = rows_of(manifest), manifest.read_bytes()
    # The second is a TIFF whose layout Pillow does not know.
    bad = {path for path, row in rows.items() if row["status"] != "ok"}
    assert bad == {"mine/images/broken.jpg", "mine/images/skimage/multipage_rgb.tif"}
    assert (rows["mine/images/sklearn/china.jpg"]["width"], rows["mine/images/sklearn/china.jpg"]["height"]) == (
        640,
        427,
    )
    assert rows["mine/images/skimage/multipage.tif"]["note"] == "grey; animated, first frame"
    assert not any(path.endswith((".py", ".npy", ".txt")) for path in rows)
    linked = tmp_path / "data/mine/images/sklearn/china.jpg"
    assert os.path.samefile(linked, mine / "sklearn/china.jpg")
    assert fetch_source(one, tmp_path / "data", tmp_path / "work", settings).read_bytes() == once
    # A photograph that the user replaced is replaced; one that the user removed is no longer expected.
    (mine / "sklearn/china.jpg").unlink()
    (mine / "sklearn/china.jpg").write_bytes(picture(kind="JPEG"))
    (mine / "sklearn/flower.jpg").unlink()
    rows = rows_of(fetch_source(one, tmp_path / "data", tmp_path / "work", settings))
    assert rows["mine/images/sklearn/china.jpg"]["width"] == 8 and "mine/images/sklearn/flower.jpg" not in rows


def test_an_empty_or_missing_folder_is_told(tmp_path: Path) -> None:
    for folder, complaint in [(tmp_path, "no images in it"), (tmp_path / "none", "no such folder")]:
        with pytest.raises(UserError, match=complaint):
            fetch_source(source("folder", str(folder)), tmp_path / "data", tmp_path / "work", SETTINGS)


def test_safe_names() -> None:
    assert safe_name("./a//b\\c d.png") == "a/b/c d.png"
    for name in ("", "./", "a/..", "\\\\server\\a", "a\nb", "a\udcff"):
        with pytest.raises(ValueError, match="name"):
            safe_name(name)
