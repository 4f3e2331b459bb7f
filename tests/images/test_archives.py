"""Archives: nothing outside their folder, nothing lost silently."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from image_files import picture, tree, write_tar, write_zip
from sharegpt4v.errors import UserError
from sharegpt4v.images.archives import unpack

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
