"""Uploaded images: bounded in bytes and pixels, turned upright, and in a format that every server reads."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from settings import Refused

MOST_BYTES = 20 * 2**20
MOST_PIXELS = 50_000_000
MOST_FILES = 500  # of one batch
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
SENT_AS_THEY_ARE = ("JPEG", "PNG", "GIF", "WEBP")
ORIENTATION = 0x0112  # of EXIF
# Pillow refuses what claims more than twice this, also where Gradio opens a file.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def data_url(path: Path | str) -> str:
    """Return an image file as a data URL; `Refused` for one that is too large, or none.

    The file's own bytes, unless its EXIF data turn it or few servers read its format: then a PNG.
    """
    file = Path(path)
    if (size := file.stat().st_size) > MOST_BYTES:
        raise Refused(f"{file.name}: {size / 2**20:.0f} MiB; expected an image of at most {MOST_BYTES // 2**20} MiB")
    content = file.read_bytes()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise Refused(f"{file.name}: {width:,} x {height:,} pixels; expected at most {MOST_PIXELS:,}")
            image.load()
            kind = image.format or ""
            if kind not in SENT_AS_THEY_ARE or image.getexif().get(ORIENTATION, 1) != 1:
                content, kind = _png(ImageOps.exif_transpose(image)), "PNG"
    except Refused:
        raise
    except UnidentifiedImageError:  # whose own message has an address in memory
        raise Refused(f"{file.name}: not an image that can be read (expected {', '.join(FORMATS)})") from None
    except Exception as error:  # Pillow raises nearly anything
        raise Refused(f"{file.name}: not an image that can be read ({str(error) or type(error).__name__})") from None
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode()}"


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    (image if image.mode in ("RGB", "RGBA", "L", "P") else image.convert("RGB")).save(file, "PNG", compress_level=1)
    return file.getvalue()
