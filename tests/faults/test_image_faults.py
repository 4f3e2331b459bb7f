"""Hostile images and file names: each ends as a row with its reason, in bounded memory, and nothing else is touched."""

from __future__ import annotations

import os
import random
import resource
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness import CASES, Outcomes, many_cases
from image_files import encoded, picture
from mutations import mutated
from sharegpt4v.captions.inputs import files_below
from sharegpt4v.errors import UserError
from sharegpt4v.image_paths import escaped, inside, plain_name, refused_name, safe_name
from sharegpt4v.images.folder import link_folder
from sharegpt4v.images.intake import look_at
from sharegpt4v.images.loading import FORMATS, open_rgb

NOISE = Image.effect_noise((48, 40), 60)
PHOTOGRAPH = Image.merge("RGB", [NOISE, NOISE.rotate(90), NOISE.rotate(180)])
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as in `loading`, but pytest sets its own
KINDS = {
    "JPEG": encoded(PHOTOGRAPH, "JPEG"),
    "progressive JPEG": encoded(PHOTOGRAPH, "JPEG", progressive=True),
    "PNG": encoded(PHOTOGRAPH),
    "palette PNG": encoded(PHOTOGRAPH.convert("P"), transparency=3),
    "16-bit PNG": encoded(Image.fromarray(np.arange(1_920, dtype=np.uint16).reshape(40, 48) * 34)),
    "GIF": encoded(PHOTOGRAPH, "GIF", save_all=True, append_images=[PHOTOGRAPH.rotate(90)]),
    "WEBP": encoded(PHOTOGRAPH, "WEBP"),
    "BMP": encoded(PHOTOGRAPH, "BMP"),
    "TIFF": encoded(PHOTOGRAPH, "TIFF"),
    "packed TIFF": encoded(PHOTOGRAPH, "TIFF", compression="tiff_lzw"),
    "float TIFF": encoded(Image.fromarray(np.linspace(0, 1, 1_920, dtype=np.float32).reshape(40, 48)), "TIFF"),
    "PPM": encoded(PHOTOGRAPH, "PPM"),
    "JPEG2000": encoded(PHOTOGRAPH, "JPEG2000"),
    "AVIF": encoded(PHOTOGRAPH, "AVIF"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_image_is_a_row_and_one_that_passes_can_be_trained_on(
    tmp_path: Path, outcomes: Outcomes, kind: str
) -> None:
    """What the intake lets pass must not stop a training later, so it decodes again, to the size in the manifest."""
    file, others = tmp_path / "image.jpg", [KINDS[other] for other in KINDS if other != kind]
    chosen = random.Random(f"images/{kind}")
    for _ in range(-(-CASES // len(KINDS))):
        file.write_bytes(mutated(KINDS[kind], chosen, others))
        finding = look_at(file)
        assert finding["status"] in ("ok", "broken") and finding["reason"].isprintable(), finding
        if finding["status"] == "ok":
            assert open_rgb(file).size == (finding["width"], finding["height"])
        outcomes[finding["status"]] += 1


@pytest.mark.parametrize("kind", ["PNG", "palette PNG", "16-bit PNG"])
def test_a_png_with_one_flipped_bit_is_broken(tmp_path: Path, outcomes: Outcomes, kind: str) -> None:
    """Of the end mark nobody reads length and checksum: those 64 bits change neither pixels nor metadata."""
    content, file = KINDS[kind], tmp_path / "image.png"
    end = len(content) - 12
    bits = range(8 * len(content))
    for bit in bits if len(bits) <= CASES else random.Random(0).sample(bits, min(CASES, 60)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        status = look_at(file)["status"]
        if status == "ok":
            assert bit // 8 >= end and bit // 8 not in range(end + 4, end + 8), f"bit {bit % 8} of byte {bit // 8}"
            assert open_rgb(file).tobytes() == open_rgb(content).tobytes()
        outcomes[status] += 1
    assert outcomes["broken"] >= 0.95 * outcomes.total()


def test_pixels_that_cannot_be_decoded_are_found_whatever_else_is_asked_first(tmp_path: Path) -> None:
    """Pillow swallows the error of the pixels when EXIF data is asked for before them, and then gives black."""
    content = bytearray(picture(size=(64, 64)))
    content[content.index(b"IDAT") + 6] ^= 0xFF
    (tmp_path / "image.png").write_bytes(content)
    assert look_at(tmp_path / "image.png")["status"] == "broken"


# Formats

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def test_no_program_is_run_to_decode_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decodes EPS by Ghostscript, which has run commands from a file more than once."""
    from PIL import EpsImagePlugin

    ghostscript = tmp_path / "bin/gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ghostscript.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    for name in ("image.jpg", "image.eps"):
        (tmp_path / name).write_bytes(EPS)
        assert look_at(tmp_path / name)["reason"] == "not an image that can be read"
        with pytest.raises(OSError, match="cannot identify"):
            open_rgb(tmp_path / name)
    assert not (tmp_path / "was-run").exists() and "EPS" not in FORMATS


# Memory and time

PEAK = """
import resource, sys
from pathlib import Path
from sharegpt4v.images.intake import look_at
from sharegpt4v.images.loading import open_rgb
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(look_at(Path(sys.argv[1]), True, int(sys.argv[2]))["status"])
except TypeError:
    print(look_at(Path(sys.argv[1]))["status"])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def peak_of(file: Path, most_pixels: int) -> tuple[str, int]:
    """How an image is taken in by a process of its own, and the bytes that this took beyond what it had."""
    ended = subprocess.run([sys.executable, "-c", PEAK, file, str(most_pixels)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    status, peak = ended.stdout.split()
    return status, int(peak)


def written(path: Path, image: Image.Image, kind: str, **options: object) -> Path:
    image.save(path, kind, **options)
    return path


def test_memory_is_bounded_by_the_pixels_that_an_image_claims(tmp_path: Path) -> None:
    deep = written(tmp_path / "deep.png", Image.new("I;16", (8_000, 8_000)), "PNG")
    floats = written(tmp_path / "floats.tif", Image.new("F", (6_000, 6_000)), "TIFF", compression="tiff_adobe_deflate")
    assert deep.stat().st_size < 200_000 and floats.stat().st_size < 400_000
    for file in (deep, floats):
        pixels = 64_000_000 if file is deep else 36_000_000
        status, peak = peak_of(file, 200_000_000)
        assert status == "ok" and peak < 14 * pixels, f"{peak / pixels:.1f} bytes a pixel"
        status, peak = peak_of(file, 10_000_000)
        assert status == "broken" and peak < 50_000_000, f"{peak:,} bytes"


def test_a_file_too_large_to_be_an_image_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "large.jpg", "wb") as file:
        file.write(KINDS["JPEG"])
        file.truncate(400_000_000)
    status, peak = peak_of(tmp_path / "large.jpg", 10_000_000)
    assert status == "broken" and peak < 50_000_000


def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    whole = encoded(Image.new("L", (2_000, 2_000), 128), "JPEG", progressive=True)
    last, end = whole.rindex(b"\xff\xda"), whole.rindex(b"\xff\xd9")
    (tmp_path / "scans.jpg").write_bytes(whole[:last] + whole[last:end] * 20_000 + whole[end:])
    finding = look_at(tmp_path / "scans.jpg")
    assert (finding["status"], finding["reason"]) == ("broken", "a JPEG of more than 100 scans")
    # Random bytes behind an image, as the video of a phone's photograph, are no scans.
    (tmp_path / "video.jpg").write_bytes(KINDS["JPEG"] + random.Random(0).randbytes(40 << 20))
    assert look_at(tmp_path / "video.jpg")["status"] == "ok"


def test_the_square_of_a_long_image_is_bounded_too() -> None:
    """Padding to a square would take 17 GB for a strip of 65,535 x 1 pixels, cutting one out of it 30 GB."""
    from sharegpt4v.models.pixels import to_square

    strip = Image.new("RGB", (65_535, 1), "red")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert to_square(strip, 336, "pad").size == (336, 336)
    assert to_square(strip.rotate(90, expand=True), 336, "square").size == (336, 336)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 2_500_000_000


# What is no file of the folder


def strange_files(folder: Path, outside: Path) -> dict[str, str]:
    """Fill a folder with what must not be opened; return the reason by name."""
    (outside / "secret.png").write_bytes(picture())
    (folder / "inner").mkdir(parents=True)
    (folder / "good.png").write_bytes(picture())
    os.mkfifo(folder / "pipe.png")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket.png"))
    listener.close()
    for name, target in {
        "out.png": outside / "secret.png", "inner/up.png": Path("../../outside/secret.png"),
        "folder": outside, "gone.png": Path("nothing.png"), "circle.png": Path("circle.png"),
        "inner/good.png": Path("../good.png"), "device.png": Path("/dev/zero"),
    }.items():  # fmt: skip
        (folder / name).symlink_to(target)
    reasons = dict.fromkeys(["out.png", "inner/up.png", "folder", "device.png"], "a link that leads out of the folder")
    return reasons | {
        "pipe.png": "a pipe, not a file", "socket.png": "a socket, not a file",
        "gone.png": "cannot be read (No such file or directory)", "circle.png": "cannot be read (a circle of links)",
    }  # fmt: skip


def test_pipes_devices_sockets_and_links_that_lead_out_are_not_opened(tmp_path: Path) -> None:
    mine, outside = tmp_path / "mine", tmp_path / "outside"
    outside.mkdir()
    reasons = strange_files(mine, outside)
    listing = link_folder(mine, tmp_path / "data/mine/images")
    assert (sorted(listing.found), listing.failures) == (["good.png", "inner/good.png"], reasons)
    copied = [tmp_path / "data/mine/images" / name for name in listing.found]
    assert all(stat.S_ISREG(file.lstat().st_mode) and file.read_bytes() == picture() for file in copied)
    found = files_below(mine)  # of `s4v caption`
    assert sorted(found.files) == ["good.png", "inner/good.png"] and found.errors == reasons
    # Placed images lie where they are, and what is found later to be no file is not opened either.
    assert link_folder(mine, mine).failures == reasons
    assert look_at(mine / "pipe.png")["reason"] == "a pipe, not a file"
    assert look_at(mine / "device.png")["reason"] == "a device, not a file"
    with pytest.raises(ValueError, match="a pipe, not a file"):
        open_rgb(mine / "pipe.png")


# Names

NAMES = st.binary(min_size=1, max_size=30).map(
    lambda raw: os.fsdecode(raw.replace(b"/", b"").replace(b"\0", b"") or b"x")
)


@many_cases
@given(st.lists(NAMES | st.from_regex(r"[a\\xu0-9]{1,12}", fullmatch=True), min_size=2, max_size=4, unique=True))
def test_different_names_stay_different_when_they_are_escaped(names: list[str]) -> None:
    assert len(set(map(escaped, names))) == len(set(map(refused_name, names))) == len(names)
    for name in names:
        escaped(name).encode()
        with suppress(ValueError):
            assert refused_name(name) != safe_name(name)


def test_a_name_that_is_not_utf8_and_one_that_looks_like_its_escape_are_two_images(tmp_path: Path) -> None:
    names = [b"caf\xe9.png", rb"caf\xe9.png", rb"caf\u005cxe9.png", "café.png".encode()]
    for number, name in enumerate(names):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(picture(number))
    found = files_below(tmp_path)
    assert sorted(file.read_bytes() for file in found.files.values()) == sorted(map(picture, range(4)))
    listing = link_folder(tmp_path, tmp_path)
    assert len(listing.failures) == 3 and listing.found == ["café.png"]


PARTS = st.sampled_from(["..", ".", "", "~", "a", "coco", "x.jpg", "\\", "..\\", "%2e%2e", "\0", "\udcff", "é" * 200])


@many_cases
@given(path=st.lists(PARTS, max_size=6).map("/".join) | st.text(max_size=40) | st.integers() | st.none() | st.binary())
def test_a_path_stays_below_its_folder_whoever_wrote_it(outcomes: Outcomes, path: object) -> None:
    root = Path(tempfile.gettempdir(), "data")
    for found in (
        outcomes.of(lambda: inside(root, path)),
        outcomes.of(lambda: root / _told(safe_name, path)),
        outcomes.of(lambda: root / _told(plain_name, path)),
    ):
        assert found is None or Path(os.path.normpath(found)).is_relative_to(root)
        assert found is None or not found.is_file()  # no name raises


def _told(check: Callable[[str], str], path: object) -> str:
    try:
        return check(str(path))
    except ValueError as error:
        raise UserError(str(error)) from None
