"""Images and figures inside a page: small, as data URIs, within a bound on their bytes. What is not shown is said."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from sharegpt4v.files import open_to_read

LARGEST = 288  # pixels, the longer side
DRAWN = 96  # pixels: images up to this are enlarged pixel by pixel


@dataclass(frozen=True)
class Picture:
    """What a page shows of an image: `uri`, or in its place the `problem`. Width and height are pixels."""

    alt: str
    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""

    @property
    def drawn(self) -> bool:
        """Whether the image is so small that its pixels are to be seen."""
        return 0 < max(self.width, self.height) <= DRAWN


class Pictures:
    """Makes pictures until `most_bytes` of data URIs are used up."""

    def __init__(self, most_bytes: int) -> None:
        self.left = most_bytes

    def of_image(self, image: Path | bytes, alt: str) -> Picture:
        """Return an image made small: PNG or JPEG, whichever has fewer bytes."""
        from sharegpt4v.images.loading import open_rgb

        try:
            small = open_rgb(image)
            small.thumbnail((LARGEST, LARGEST))
        except FileNotFoundError as error:
            return Picture(alt, problem=f"image missing: {error.filename}")
        except Exception as error:  # Pillow raises nearly anything on a broken file
            return Picture(alt, problem=f"image broken: {str(error)[:200] or type(error).__name__}")
        encoded = []
        for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 82})):
            file = io.BytesIO()
            small.save(file, kind, **options)
            encoded.append((file.getvalue(), f"image/{kind}"))
        content, mime = min(encoded, key=lambda one: len(one[0]))
        return self._within(content, mime, alt, small.width, small.height)

    def of_svg(self, path: Path, alt: str) -> Picture:
        """Return a figure as it is. Inside an image, its styles and names are its own and nothing of it can run."""
        with open_to_read(path, "a figure") as file:
            return self._within(file.read(), "image/svg+xml", alt)

    def _within(self, content: bytes, mime: str, alt: str, width: int = 0, height: int = 0) -> Picture:
        uri = f"data:{mime};base64,{base64.b64encode(content).decode()}"
        if len(uri) > self.left:
            return Picture(alt, problem=f"left out, as the page would be too large: {alt}")
        self.left -= len(uri)
        return Picture(alt, uri, width, height)
