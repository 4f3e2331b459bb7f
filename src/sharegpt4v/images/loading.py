"""From an image file to RGB pixels: the one place, so that every stage sees the same picture.

The plain ``convert("RGB")`` of LLaVA's code, plus what files from the web need: 16 bits scaled to 8, the first frame of
an animation. As in that code, pixels stay as they are stored, whatever orientation the EXIF data names: in training,
in the captions of the corpora and in the benchmarks. A user's own photographs can be turned upright. Decoders look at
the content, never at the suffix.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps, PngImagePlugin

# Some PNGs of the web sources carry more text than Pillow's default limits allow.
PngImagePlugin.MAX_TEXT_CHUNK = 100 * 1024 * 1024
PngImagePlugin.MAX_TEXT_MEMORY = 200 * 1024 * 1024
# Pillow refuses what is larger than twice its limit, and that is recorded; its warning at half that size says no more.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
# Broken EXIF is common and does no harm; a warning per image would bury everything else.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

ORIENTATION = 0x0112


def open_image(image: Path | str | bytes) -> Image.Image:
    """Open an image file, or its bytes, without decoding the pixels yet."""
    return Image.open(io.BytesIO(image) if isinstance(image, bytes) else image)


def open_rgb(image: Path | str | bytes, upright: bool = False) -> Image.Image:
    """Decode an image file, or its bytes, to mode RGB; whatever Pillow raises on a broken one is passed on.

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


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; unreadable EXIF counts as upright."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken EXIF raises nearly anything, and is no reason to lose an image
        return 1


def _upright(image: Image.Image) -> Image.Image:
    if orientation_of(image) == 1:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as above
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale a grey image to 8 bits: integers from 0 to 65,535, floats from 0 to 1; values beyond are cut."""
    import numpy as np

    values = np.asarray(image, dtype=np.float64)
    white = 1.0 if image.mode == "F" else 65_535.0
    return Image.fromarray(np.uint8(np.clip(np.nan_to_num(values) / white, 0.0, 1.0) * 255.0 + 0.5))
