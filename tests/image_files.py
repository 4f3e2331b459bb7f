"""Images, archives and sources for tests."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import Path

from PIL import Image

from conftest import PROJECT
from sharegpt4v.catalogues.sources import Download, Source
from sharegpt4v.config.sources import Img2Dataset, Sources
from sharegpt4v.images.manifest import ManifestRow, read_manifest

IMG2DATASET = PROJECT / ".venv-img2dataset/bin/img2dataset"
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
