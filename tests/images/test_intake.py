"""Images decoded, checked and written to a manifest."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from image_files import encoded, odd_images, picture, source, tree
from sharegpt4v.errors import UserError
from sharegpt4v.images import intake
from sharegpt4v.images.intake import ingest, look_at
from sharegpt4v.images.listing import Listing
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.images.manifest import CheckedRow, read_manifest, write_manifest


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
