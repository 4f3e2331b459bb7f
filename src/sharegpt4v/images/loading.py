"""From an image file to RGB pixels: the one place, so that every stage sees the same image.

The plain ``convert("RGB")`` of LLaVA's code, plus what files from the web need: 16 bits scaled to 8, the first frame of
an animation. As in that code, pixels stay as they are stored, whatever orientation the EXIF data names: in training,
in the captions of the corpora and in the benchmarks. A user's own photographs can be turned upright. Decoders look at
the content, never at the suffix.

Files are not trusted. Only the formats listed here are decoded, by decoders in this process. What a file would take in
memory is judged by the size in pixels that it claims, before it is decoded. The checksums of a PNG are compared.
"""

from __future__ import annotations

import io
import stat
import warnings
from pathlib import Path

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

# Pillow's names. Not among them: EPS, for which Pillow runs Ghostscript, and formats that no source uses.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF")
MOST_PIXELS = 200_000_000  # the largest images of SA-1B have 10 million; decoding takes up to 20 bytes for each
BYTES_PER_PIXEL = 4  # a file of more is not one that a camera or a website makes
MOST_SCANS = 100  # of a progressive JPEG; they have about 10, and each costs a pass over all pixels
BYTES_PER_FALSE_SCAN = 16_384  # the mark of a scan is in random bytes, as in an appended video, every 65,536 bytes
ROWS_AT_ONCE = 1_000_000  # pixels, roughly, that are scaled to 8 bits together

# Some PNGs of the web sources carry more text than Pillow's default limits allow.
PngImagePlugin.MAX_TEXT_CHUNK = 100 * 1024 * 1024
PngImagePlugin.MAX_TEXT_MEMORY = 200 * 1024 * 1024
# Pillow refuses more than twice its limit, also in the frames and tiles of a file, and warns from half of that on.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
# Broken EXIF is common and does no harm; a warning per image would bury everything else.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

ORIENTATION = 0x0112


class Refused(ValueError):
    """An image that is not decoded: the message says why."""


def read_image_file(path: Path | str, most_pixels: int = MOST_PIXELS) -> bytes:
    """Return the content of a file; `Refused` for a pipe, a device, a folder, or a file too large to be an image."""
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for somebody to write
        raise Refused(f"{kind_of(status.st_mode)}, not a file")
    if status.st_size > BYTES_PER_PIXEL * most_pixels:
        raise Refused(f"{status.st_size:,} bytes, more than {BYTES_PER_PIXEL} for each of {most_pixels:,} pixels")
    return Path(path).read_bytes()


def open_image(image: Path | str | bytes, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """Open an image file, or its bytes, without decoding the pixels yet.

    `Refused` for an image of more than `most_pixels`; Pillow's own errors for one that is broken.
    """
    content = image if isinstance(image, bytes) else read_image_file(image, most_pixels)
    is_jpeg = content.startswith(b"\xff\xd8")
    if is_jpeg and content.count(b"\xff\xda") > MOST_SCANS + len(content) / BYTES_PER_FALSE_SCAN:
        raise Refused(f"a JPEG of more than {MOST_SCANS} scans")
    opened = _opened(content, most_pixels)
    if opened.format == "PNG":
        opened.verify()  # Pillow decodes without a look at the checksums of the pixels, and closes what it has verified
        opened = _opened(content, most_pixels)
    return opened


def size_of(path: Path, most_pixels: int = MOST_PIXELS) -> tuple[int, int]:
    """Return width and height in pixels by the header of a file, without reading the rest; errors as in `open_image`.

    They are those of what `open_rgb` decodes, unless that turns it upright.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise Refused(f"{kind_of(mode)}, not a file")
    with Image.open(path, formats=FORMATS) as opened:
        width, height = opened.size
    if width * height > most_pixels:
        raise Refused(f"{width:,} x {height:,} pixels, more than {most_pixels:,}")
    return width, height


def _opened(content: bytes, most_pixels: int) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:  # Pillow's own message has an address in memory, which is another one every time
        raise UnidentifiedImageError("cannot identify the format of the image") from None
    width, height = opened.size
    if width * height > most_pixels:
        opened.close()
        raise Refused(f"{width:,} x {height:,} pixels, more than {most_pixels:,}")
    return opened


def open_rgb(image: Path | str | bytes, upright: bool = False) -> Image.Image:
    """Decode an image file, or its bytes, to mode RGB; `Refused`, or whatever Pillow raises on a broken one.

    `upright` turns it as its EXIF data say.
    """
    with open_image(image) as opened:
        return to_rgb(opened, upright)


def to_rgb(image: Image.Image, upright: bool = False) -> Image.Image:
    """Decode an opened image to mode RGB, the first frame of an animation; `upright` as in `open_rgb`."""
    image.load()
    if upright:
        image = _upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the direct way gives the same pixels and a warning
    return image if image.mode == "RGB" else image.convert("RGB")


def is_turned(content: bytes) -> bool:
    """Say whether the EXIF data of an image file's bytes turn it; errors as in `open_image`."""
    with open_image(content) as opened:
        return orientation_of(opened) != 1


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; unreadable EXIF counts as upright."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken EXIF raises nearly anything, and is no reason to lose an image
        return 1


def kind_of(mode: int) -> str:
    """Say what a file is that is no regular one, from its `st_mode`."""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _upright(image: Image.Image) -> Image.Image:
    if orientation_of(image) == 1:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as above
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale a grey image to 8 bits: integers from 0 to 65,535, floats from 0 to 1; values beyond are cut.

    Some rows at a time, as 64-bit floats take many times the memory of the image.
    """
    import numpy as np

    white = 1.0 if image.mode == "F" else 65_535.0
    grey = Image.new("L", image.size)
    width, height = image.size
    rows = max(1, ROWS_AT_ONCE // max(1, width))
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        with np.errstate(invalid="ignore"):  # of signalling NaNs
            values = np.nan_to_num(np.asarray(strip, dtype=np.float64))
        scaled = np.uint8(np.clip(values / white, 0.0, 1.0) * 255.0 + 0.5)
        grey.paste(Image.fromarray(scaled), (0, top))
    return grey
