"""Hostile archives: any damage or claim ends in one line, and nothing is written outside or beyond the limits."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import resource
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from harness import CASES, Outcomes
from image_files import picture, write_tar, write_zip
from mutations import mutated
from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.image_paths import NOT_IN_TEXT
from sharegpt4v.images.archives import Damaged, unpack

LONG = "a folder with a long name/" * 8
MEMBERS = {f"{number}.png": picture(number) for number in range(5)} | {
    f"{LONG}7.png": picture(7),
    "notes.txt": b"x" * 99,
}


def zipped(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
        archive.comment = b"a comment"
    return file.getvalue()


def tarred(form: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in MEMBERS.items():
            info = tarfile.TarInfo(name if form != tarfile.USTAR_FORMAT else name[-80:])
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def sparse(name: str, size: int, *pieces: tuple[int, bytes]) -> bytes:
    """A member of an old GNU tar that claims `size` bytes and holds up to four `pieces` (offset, content) of them."""
    content = b"".join(piece for _, piece in pieces)
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    for number, (offset, piece) in enumerate(pieces):
        header[386 + 24 * number : 410 + 24 * number] = b"%011o\0%011o\0" % (offset, len(piece))
    header[483:495] = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512)


END = bytes(10_240)
TARS = {
    "ustar": tarred(tarfile.USTAR_FORMAT), "gnu": tarred(tarfile.GNU_FORMAT), "pax": tarred(tarfile.PAX_FORMAT),
    "sparse": sparse("s.png", 700, (0, b"one"), (600, b"two" * 30)) + tarred(tarfile.GNU_FORMAT),
}  # fmt: skip
PACKED: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
KINDS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "stored zip": (zipped(zipfile.ZIP_STORED), bytes), "deflated zip": (zipped(zipfile.ZIP_DEFLATED), bytes),
    "bzip2 zip": (zipped(zipfile.ZIP_BZIP2), bytes), "lzma zip": (zipped(zipfile.ZIP_LZMA), bytes),
    **{f"{name} tar": (content, bytes) for name, content in TARS.items()},
    **{f"tar damaged in {name}": (pack(TARS["gnu"]), bytes) for name, pack in PACKED.items()},
    **{f"tar damaged below {name}": (TARS["pax"], pack) for name, pack in PACKED.items()},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_damage_of_an_archive_is_one_line(tmp_path: Path, outcomes: Outcomes, kind: str) -> None:
    content, pack = KINDS[kind]
    chosen, others = random.Random(f"archives/{kind}"), [other for other, _ in KINDS.values() if other != content]
    archive, out = tmp_path / "archive", tmp_path / "a/b/out"
    for number in range(-(-CASES // len(KINDS))):
        archive.write_bytes(pack(mutated(content, chosen, others)))
        strip_prefix = "*/" if number % 2 else ""
        unpacked = outcomes.of(partial(unpack, archive, out, only_images=False, strip_prefix=strip_prefix))
        if unpacked:
            assert all(why.isprintable() and not NOT_IN_TEXT.search(name) for name, why in unpacked.refused.items())
            assert all((out / name).stat().st_size == size for name, size in unpacked.members.items())
        assert {path.name for path in tmp_path.rglob("*") if not path.is_relative_to(out)} <= {
            "archive",
            "a",
            "b",
            "out",
        }
        assert not [path for path in tmp_path.rglob("*.tmp")]
        shutil.rmtree(out, ignore_errors=True)


def test_the_archives_that_are_damaged_here_are_whole(tmp_path: Path) -> None:
    for kind, (content, pack) in KINDS.items():
        (tmp_path / "archive").write_bytes(pack(content))
        unpacked = unpack(tmp_path / "archive", tmp_path / kind)
        assert len(unpacked.members) == 6 + ("sparse" in kind) and unpacked.others == 1 and not unpacked.refused, kind
    written = (tmp_path / "sparse tar/s.png").read_bytes()
    assert written == b"one" + bytes(597) + b"two" * 30 + bytes(10)


# Claims

SMALL = Sources(largest_unpacking_ratio=2)


def bomb_of_zeros(path: Path, size: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("zeros.png", bytes(size))
    return path


def test_a_small_archive_of_much_content_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar.gz", "a.tar.xz"):
        if name == "a.zip":
            bomb_of_zeros(tmp_path / name, 40 << 20)
        else:
            info, file = tarfile.TarInfo("zeros.png"), io.BytesIO()
            info.size = 40 << 20
            with tarfile.open(fileobj=file, mode="w") as archive:
                archive.addfile(info, io.BytesIO(bytes(info.size)))
            (tmp_path / name).write_bytes(PACKED["gzip" if name.endswith("gz") else "xz"](file.getvalue()))
        with pytest.raises(
            UserError, match=r"unpacks to more than 16,777,216 bytes, 2 times its size; .*largest_unpack"
        ):
            unpack(tmp_path / name, tmp_path / "out", limits=SMALL)
        assert not (tmp_path / "out").exists()
        enough = Sources(largest_unpacking_ratio=10_000)
        assert unpack(tmp_path / name, tmp_path / name.replace(".", ""), limits=enough).written == 1


def test_members_that_share_their_bytes_count_each(tmp_path: Path) -> None:
    """A zip whose directory names the same compressed bytes many times; a published one of 10 MB unpacks to 281 TB."""
    whole = bomb_of_zeros(tmp_path / "a.zip", 8 << 20).read_bytes()
    start = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    entries = b"".join(whole[start:end].replace(b"zeros.png", b"zero%d.png" % number) for number in range(9))
    tail = bytearray(whole[end:])
    tail[8:20] = struct.pack("<HHLL", 9, 9, len(entries), start)
    (tmp_path / "a.zip").write_bytes(whole[:start] + entries + tail)
    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(tmp_path / "a.zip", tmp_path / "out", limits=SMALL)


@pytest.mark.parametrize("size", [1 << 31, 1 << 50, 1 << 80])
def test_a_sparse_file_counts_by_what_it_claims(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.tar").write_bytes(sparse("hole.png", size, (0, b"x")) + END)
    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_the_number_of_entries_is_limited(tmp_path: Path, write: Callable[[Path, dict[str, bytes]], Path]) -> None:
    archive = write(tmp_path / "archive", {f"{number}.png": b"" for number in range(200)})
    with pytest.raises(UserError, match=r"more than 199 entries; .*sources\.largest_archive_entries"):
        unpack(archive, tmp_path / "out", limits=Sources(largest_archive_entries=199))
    # A zip's directory, whose entries take 46 bytes and their name, is judged by its size before it is read.
    assert unpack(archive, tmp_path / "all", limits=Sources(largest_archive_entries=1_000)).written == 200


def test_what_would_fill_the_disk_is_not_written(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.png": picture()})
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(UserError, match=r"are free and .* are to stay so; make room, or lower sources\.keep_free_gig"):
        unpack(archive, tmp_path / "out", limits=Sources(keep_free_gigabytes=2 * free / 1e9))
    assert not list(tmp_path.glob("out/*"))


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    """The names and attributes of a member are read at once: in a plain tar as many bytes as the file has."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(header.tobuf())
        file.truncate((1 << 30) + 20_480)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Damaged, match=r"a header of 1,073,741,824 bytes"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_header_that_leads_back_does_not_repeat_for_ever(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("a.png").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" + (-512).to_bytes(11, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) + END)
    with pytest.raises(UserError):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_folders_in_folders_without_end_are_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {"d/" * 1_900 + "a.png": picture(), "b" * 250 + ".png": b"", "ok.png": b""})
    unpacked = unpack(archive, tmp_path / "out")
    assert list(unpacked.members) == ["ok.png"]
    assert sorted(unpacked.refused.values()) == ["File name too long", "more than 100 folders deep"]


def test_a_refused_member_and_one_named_like_its_escape_are_kept_apart(tmp_path: Path) -> None:
    names = ["../e.png", r"..\u002fe.png", "..%2Fe.png", "..", "a.png", "a.png again", "\\a.png again"]
    archive = write_tar(tmp_path / "a.tar", {name: name.encode() for name in names} | {os.fsdecode(b"\xff.png"): b"x"})
    with tarfile.open(archive, "a") as more:
        info = tarfile.TarInfo("a.png")
        more.addfile(info, io.BytesIO())
    unpacked = unpack(archive, tmp_path / "out", only_images=False)
    assert len(unpacked.members) + len(unpacked.refused) == len(names) + 2
    assert not unpacked.members.keys() & unpacked.refused.keys()


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("x.png")
        info.filename = "\0.png"  # a reader takes the name to end here
        archive.writestr(info, b"x")
        archive.writestr("ok.png", b"ok")
    unpacked = unpack(tmp_path / "a.zip", tmp_path / "out")
    assert list(unpacked.members) == ["ok.png"] and list(unpacked.refused.values()) == ["name is empty"]
