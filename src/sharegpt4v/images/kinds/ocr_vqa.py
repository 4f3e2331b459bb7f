"""Kind "ocr-vqa": OCR-VQA's own list of web addresses, its ``dataset.json``."""

from __future__ import annotations

from pathlib import Path

from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json
from sharegpt4v.image_paths import safe_name
from sharegpt4v.images.urls import WebList


def read_ocr_vqa(path: Path, mini_base_url: str | None = None) -> dict[str, str]:
    """Read OCR-VQA's ``dataset.json`` into URL by image name: its `imageURL`s by id.

    Every name ends in ``.jpg``, whatever the image is, because the rows of LLaVA's mix say so.
    """
    books, expected = read_json(path), "expected OCR-VQA's dataset.json, an imageURL for each id"
    urls: dict[str, str] = {}
    for id, book in (books if isinstance(books, dict) else {}).items():
        try:
            name, url = safe_name(f"{id}.jpg"), book["imageURL"]
            if not isinstance(url, str):
                raise ValueError
            urls[name] = url
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{path}, {id!r}: an id or an imageURL is amiss; {expected}") from None
    if not urls:
        raise UserError(f"{path}: no images in it; {expected}")
    return urls


KIND = WebList(read_ocr_vqa)
