"""From sources to manifests: catalogue, archives, decoding, intake, folders, URL lists, and a source as a whole."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sharegpt4v import layout
from sharegpt4v.catalogues.sources import COLUMNS, Download, Source, read_catalogue, resolve
from sharegpt4v.config.sources import Img2Dataset, Sources
from sharegpt4v.errors import UserError
from sharegpt4v.image_paths import safe_name
from sharegpt4v.images import crawler, intake
from sharegpt4v.images.archives import unpack
from sharegpt4v.images.findings import read_reasons
from sharegpt4v.images.intake import ingest, look_at
from sharegpt4v.images.kinds.urls import read_url_list
from sharegpt4v.images.listing import Listing
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.images.manifest import CheckedRow, ManifestRow, read_manifest, write_manifest
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.images.urls import check_success_rate, fetch_urls
from sharegpt4v.mini.files_server import serve_folder

ROOT = Path(__file__).parents[1]
IMG2DATASET = ROOT / ".venv-img2dataset/bin/img2dataset"
CRAWLER = Img2Dataset(command=IMG2DATASET, threads=4, timeout_seconds=3, retries=0)
SETTINGS = Sources(workers=1, img2dataset=CRAWLER)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(number: int = 0, kind: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    return encoded(Image.new("RGB", size, (number % 256, 90, 200)), kind)


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: dict[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for info in extra or []:
            archive.addfile(info)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def source(kind: str, *addresses: str, folder: str = "coco/train2017", **others: object) -> Source:
    return Source("coco", kind, folder, tuple(map(Download, addresses)), licence="test", **others)  # type: ignore[arg-type]


def rows_of(manifest: Path) -> dict[str, ManifestRow]:
    return {row["path"]: row for row in read_manifest(manifest)}


# The catalogue


def catalogue(tmp_path: Path, **cells: str) -> Path:
    row = {"name": "coco", "kind": "zip", "folder": "coco/train2017", "address": "mini:a.zip", "licence": "CC"} | cells
    path = tmp_path / "sources.tsv"
    path.write_text("# a comment\n" + "\t".join(COLUMNS) + "\n" + "\t".join(row.get(name, "") for name in COLUMNS))
    return path


def test_the_catalogue_of_the_mini_world_lays_out_the_folders_of_the_paper() -> None:
    sources = read_catalogue(ROOT / "config/sources.mini.tsv")
    folders = {name: one.folder for name, one in sources.items() if one.images != 0}
    assert folders == {
        "coco": "coco/train2017",
        "llava": "llava/llava_pretrain/images",
        "sam": "sam/images",
        "wikiart": "wikiart/images",
        "share_textvqa": "share_textvqa/images",
        "web-celebrity": "web-celebrity/images",
        "web-landmark": "web-landmark/images",
        "gqa": "gqa/images",
        "ocr_vqa": "ocr_vqa/images",
        "textvqa": "textvqa/train_images",
        "vg": "vg",
    }
    assert [download.file_name for download in sources["sam"].downloads] == ["sa_000000.tar", "sa_000001.tar"]


def test_sizes_and_hashes_go_with_their_addresses(tmp_path: Path) -> None:
    path = catalogue(tmp_path, address="https://h/a.tar?x=1 /disk/b.tar", bytes="5 6", sha256=f"{'A' * 64} {'b' * 64}")
    first, second = read_catalogue(path)["coco"].downloads
    assert first == Download("https://h/a.tar?x=1", 5, "a" * 64) and first.file_name == "a.tar"
    assert second == Download("/disk/b.tar", 6, "b" * 64)


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ({"kind": "rar"}, "line 3: kind 'rar'; expected one of drive, file"),
        ({"folder": "../elsewhere"}, "line 3: folder '../elsewhere'; expected a path below data/"),
        ({"images": "many"}, "line 3: images is 'many'; expected a whole number"),
        ({"address": "a b", "bytes": "1"}, "line 3: 1 values of bytes for 2 addresses"),
        ({"address": "mini:a/i.zip mini:b/i.zip"}, "line 3: two addresses end in the same file name"),
        ({"sha256": "abc"}, "line 3: sha256 is 'abc'; expected 64 hexadecimal digits"),
        ({"licence": ""}, "line 3: the licence is empty"),
        ({"about": "a\tb"}, "line 3: 12 columns, expected 11"),
    ],
)
def test_a_mistake_in_the_catalogue_is_named_with_its_line(
    tmp_path: Path, cells: dict[str, str], complaint: str
) -> None:
    with pytest.raises(UserError, match=rf"sources\.tsv, {complaint}"):
        read_catalogue(catalogue(tmp_path, **cells))


def test_only_mini_addresses_are_rewritten() -> None:
    assert resolve("mini:coco/a.zip", "http://127.0.0.1:1/") == "http://127.0.0.1:1/coco/a.zip"
    assert resolve("https://h/a.zip", "http://127.0.0.1:1") == "https://h/a.zip"
    with pytest.raises(UserError, match="not being served"):
        resolve("mini:coco/a.zip")


# Archives

HOSTILE = ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "..\\evil.png", "C:\\evil.png", "a/b\x07.png"]


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_hostile_archive_writes_nothing_outside(
    tmp_path: Path, write: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    archive = write(tmp_path / "in/archive", {name: picture() for name in [*HOSTILE, "./good.png"]})
    before = tree(tmp_path)
    unpacked = unpack(archive, tmp_path / "a/b/images")
    assert tree(tmp_path) - before == {"a/b/images/good.png"}
    assert len(unpacked.refused) == len(HOSTILE) and not any("../" in name for name in unpacked.refused)
    assert not Path("/tmp/evil.png").exists()


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    extra = []
    for name, kind in [("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE), ("device.png", tarfile.CHRTYPE)]:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        extra.append(info)
    unpacked = unpack(write_tar(tmp_path / "a.tar", {"link.png/x.png": b"1", "b.png": b"2"}, extra), tmp_path / "out")
    assert unpacked.refused == dict.fromkeys(["link.png", "hard.png", "device.png"], "a link or a device")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert unpack(tmp_path / "a.zip", tmp_path / "zip").refused == {"link.png": "a link or a device"}
    assert not (tmp_path / "zip").exists()


def test_an_inner_prefix_is_taken_off_and_litter_and_other_files_stay_behind(tmp_path: Path) -> None:
    members = ["data/wikiart/images/a.jpg", "b.jpg", "__MACOSX/._a.jpg", ".DS_Store", "sa_1.json", "c/._d.jpg"]
    archive = write_zip(tmp_path / "a.zip", {name: b"x" for name in members})
    unpacked = unpack(archive, tmp_path / "out", strip_prefix="data/wikiart/images/")
    assert tree(tmp_path / "out") == set(unpacked.members) == {"a.jpg", "b.jpg"}
    assert (unpacked.others, unpacked.refused) == (1, {})
    assert "sa_1.json" in unpack(archive, tmp_path / "all", only_images=False).members


def test_unpacking_again_writes_only_what_differs(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar.gz", {f"{number}.png": picture(number) for number in range(5)})
    unpack(archive, tmp_path / "out")
    (tmp_path / "out/1.png").write_bytes(b"torn")
    (tmp_path / "out/2.png").write_bytes(bytes(len(picture(2))))
    (tmp_path / "out/3.png").unlink()
    untouched = (tmp_path / "out/0.png").stat().st_mtime_ns
    unpacked = unpack(archive, tmp_path / "out")
    assert (unpacked.written, unpacked.kept) == (3, 2)
    assert [(tmp_path / f"out/{number}.png").read_bytes() for number in range(5)] == list(map(picture, range(5)))
    assert (tmp_path / "out/0.png").stat().st_mtime_ns == untouched


def test_an_archive_is_told_by_how_it_begins(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", {"a.png": picture()}).read_bytes()
    archive = write_tar(tmp_path / "a.zip", {"b.png": picture(), "inner.zip": inner})
    assert set(unpack(archive, tmp_path / "out", only_images=False).members) == {"b.png", "inner.zip"}


def test_one_damaged_member_of_a_zip_is_recorded_and_the_rest_is_unpacked(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"b/bad.png": b"first content", "good.png": b"other content"})
    archive.write_bytes(archive.read_bytes().replace(b"first content", b"FIRST content"))
    unpacked = unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"good.png"} and "Bad CRC-32" in unpacked.refused["b/bad.png"]


@pytest.mark.parametrize("end", [700, 1_536, 2_000, 3_072])
def test_a_tar_that_ends_early_is_told(tmp_path: Path, end: int) -> None:
    archive = write_tar(tmp_path / "sa_000014.tar", {f"{number}.png": bytes(600) for number in range(3)})
    archive.write_bytes(archive.read_bytes()[:end])
    with pytest.raises(
        UserError, match=r"sa_000014\.tar: not a whole zip or tar archive .* members could be read"
    ) as e:
        unpack(archive, tmp_path / "out")
    assert "\n" not in str(e.value)
    assert all(size == 600 for size in (path.stat().st_size for path in (tmp_path / "out").glob("*")))


def test_a_tar_with_a_wrong_header_in_the_middle_is_told(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {f"{number}.png": bytes(512) for number in range(3)})
    content = bytearray(archive.read_bytes())
    content[1_024:1_100] = b"\xff" * 76
    archive.write_bytes(content)
    with pytest.raises(UserError, match="no end mark at byte 1,024"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"<html>please log in</html>", b"PK\x03\x04 cut"])
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip: not a whole zip or tar archive") as caught:
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert "\n" not in str(caught.value)


# Decoding


def test_every_kind_of_image_becomes_rgb_of_eight_bits() -> None:
    """Pixels stay as they are stored, as in the paper's code, unless they are asked for upright."""
    red = Image.new("RGB", (8, 6), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.new("RGB", (8, 6), (0, 0, 255))
    turned.paste((255, 0, 0), (0, 0, 4, 6))
    stored = encoded(turned, "PNG", exif=exif)
    assert open_rgb(stored).tobytes() == Image.open(io.BytesIO(stored)).convert("RGB").tobytes() == turned.tobytes()
    upright = open_rgb(stored, upright=True)
    assert (
        upright.size == (6, 8) and upright.getpixel((0, 0)) == (255, 0, 0) and upright.getpixel((0, 7)) == (0, 0, 255)
    )
    assert open_rgb(encoded(red.convert("CMYK"), "JPEG", quality=100)).getpixel((4, 3)) == pytest.approx(
        (254, 0, 0), abs=9
    )
    assert open_rgb(encoded(red.convert("L"))).getpixel((0, 0)) == (76, 76, 76)
    assert open_rgb(encoded(Image.new("RGBA", (2, 2), (9, 8, 7, 0)))).getpixel((0, 0)) == (9, 8, 7)
    deep = Image.fromarray(np.array([[0, 32_768, 65_535]], dtype=np.uint16))
    assert [open_rgb(encoded(deep)).getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]
    floats = Image.fromarray(np.array([[0.0, 0.5, 7.0, np.nan]], dtype=np.float32))
    assert [open_rgb(encoded(floats, "TIFF")).getpixel((x, 0))[0] for x in range(4)] == [0, 128, 255, 0]  # type: ignore[index]
    frames = [Image.new("RGB", (4, 4), color) for color in ("lime", "blue")]
    assert open_rgb(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).getpixel((0, 0)) == (0, 255, 0)
    palette = red.convert("P")
    palette.info["transparency"] = bytes([0, 128, 255])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_rgb(encoded(palette, transparency=bytes([0, 128, 255]))).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.filterwarnings("ignore:.*orrupt EXIF")
def test_broken_exif_and_long_texts_do_not_lose_an_image() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * (3 << 20), zip=True)
    assert open_rgb(encoded(Image.new("RGB", (2, 2)), pnginfo=text)).size == (2, 2)
    for broken in (b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"):
        image = encoded(Image.new("RGB", (2, 2)), "JPEG", exif=broken)
        assert open_rgb(image).size == open_rgb(image, upright=True).size == (2, 2)


def odd_images(folder: Path) -> dict[str, tuple[str, str]]:
    """Write one file of every trouble; return the status and what its reason or note has to say."""
    exif = Image.Exif()
    exif[0x0112] = 8
    red = Image.new("RGB", (8, 6), "red")
    photograph = encoded(Image.effect_noise((64, 64), 50), "JPEG")
    bomb = bytearray(picture())
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    files = {
        "plain.png": (picture(), "ok", ""),
        "grey.jpg": (photograph, "ok", "grey"),
        "turned.jpg": (encoded(red, "JPEG", exif=exif), "ok", "EXIF orientation ignored"),
        "cmyk.jpg": (encoded(red.convert("CMYK"), "JPEG"), "ok", "CMYK"),
        "deep.png": (encoded(Image.new("I;16", (3, 3), 40_000)), "ok", "16 bits"),
        "palette.png": (encoded(red.convert("P")), "ok", "palette"),
        "alpha.png": (encoded(red.convert("RGBA")), "ok", "alpha"),
        "moving.gif": (encoded(red, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 6))]), "ok", "animated"),
        "0001.jpg": (encoded(red, "GIF"), "ok", "GIF named .jpg"),
        "cut.jpg": (photograph[: len(photograph) // 2], "broken", "truncated"),
        "cut.png": (picture(size=(200, 200))[:60], "broken", "OSError"),
        "empty.jpg": (b"", "broken", "zero bytes"),
        "page.jpg": (b"<html>404</html>", "broken", "not an image"),
        "bomb.png": (bytes(bomb), "broken", "DecompressionBombError"),
    }
    folder.mkdir(parents=True)
    for name, (content, _, _) in files.items():
        (folder / name).write_bytes(content)
    return {name: (status, says) for name, (_, status, says) in files.items()}


def test_every_trouble_is_a_row_with_its_reason_and_no_file_is_touched(tmp_path: Path) -> None:
    expected = odd_images(tmp_path / "coco/train2017")
    before = {name: (tmp_path / "coco/train2017" / name).read_bytes() for name in expected}
    listing = Listing([*expected, "gone.png"], {"dead.png": "HTTP Error 404"})
    rows = list(ingest(source("zip", "x"), listing, tmp_path, tmp_path / "decoded.jsonl"))
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    by_name = {Path(row["path"]).name: row for row in rows}
    for name, (status, says) in expected.items():
        row = by_name[name]
        assert row["status"] == status and says in row["reason"] + row["note"], row
        assert (row["width"] > 0) == (status == "ok") and len(row["sha256"]) == 64
    assert by_name["turned.jpg"]["width"] == 8 and by_name["turned.jpg"]["height"] == 6
    assert by_name["plain.png"]["note"] == "" and by_name["plain.png"]["licence"] == "test"
    assert (by_name["gone.png"]["status"], by_name["dead.png"]["reason"]) == ("missing", "HTTP Error 404")
    assert before == {name: (tmp_path / "coco/train2017" / name).read_bytes() for name in expected}


def test_unchanged_images_are_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "coco/train2017"
    folder.mkdir(parents=True)
    names = [f"{number:03}.png" for number in range(150)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(picture(number))
    looked: list[str] = []

    def looking(file: Path, *how: Any) -> intake.Finding:
        looked.append(file.name)
        return look_at(file, *how)

    monkeypatch.setattr(intake, "look_at", looking)

    def again(*more: str) -> list[CheckedRow]:
        looked.clear()
        return list(ingest(source("zip", "x"), Listing([*names, *more]), tmp_path, tmp_path / "decoded.jsonl"))

    first = again()
    assert looked == names and again() == first and looked == []
    (folder / "070.png").write_bytes(picture(0, size=(9, 9)))
    (folder / "000a.png").write_bytes(picture())
    assert {row["path"]: row for row in again("000a.png")}["coco/train2017/070.png"]["width"] == 9
    assert looked == ["000a.png", "070.png"]
    (folder / "071.png").unlink()
    assert [row["path"] for row in again() if row["status"] == "missing"] == ["coco/train2017/071.png"]


def test_an_intake_that_was_stopped_goes_on_from_there(tmp_path: Path) -> None:
    folder = tmp_path / "coco/train2017"
    folder.mkdir(parents=True)
    names = [f"{number:03}.png" for number in range(300)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(picture(number))
    rows = ingest(source("zip", "x"), Listing(names), tmp_path, tmp_path / "decoded.jsonl")
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert "000.png" in (tmp_path / "decoded.jsonl").read_text()
    resumed = list(ingest(source("zip", "x"), Listing(names), tmp_path, tmp_path / "decoded.jsonl"))
    fresh = list(ingest(source("zip", "x"), Listing(names), tmp_path, tmp_path / "fresh.jsonl", workers=2))
    assert resumed == fresh and len(fresh) == 300


# Manifests


def test_equal_rows_give_equal_bytes_and_come_back(tmp_path: Path) -> None:
    odd_images(tmp_path / "coco/train2017")
    listing = Listing(sorted(tree(tmp_path / "coco/train2017")))
    rows = list(ingest(source("zip", "x"), listing, tmp_path, tmp_path / "decoded.jsonl"))
    assert write_manifest(tmp_path / "a.parquet", rows) == {"ok": 9, "broken": 5}
    write_manifest(tmp_path / "b.parquet", iter(rows))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    kept = [{name: value for name, value in row.items() if name != "reason"} for row in rows]
    assert list(read_manifest(tmp_path / "a.parquet")) == kept
    write_manifest(tmp_path / "none.parquet", [])
    assert list(read_manifest(tmp_path / "none.parquet")) == []


def test_a_missing_or_foreign_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.parquet: no such manifest"):
        list(read_manifest(tmp_path / "a.parquet"))
    (tmp_path / "a.parquet").write_bytes(b"version https://git-lfs")
    with pytest.raises(UserError, match=r"a\.parquet: not a manifest"):
        list(read_manifest(tmp_path / "a.parquet"))


# URL lists


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


# A source as a whole


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
