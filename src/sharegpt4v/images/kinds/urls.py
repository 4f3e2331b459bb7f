"""Kind "urls": a list of web addresses, a tab-separated table with the header `url name`."""

from __future__ import annotations

from pathlib import Path

from sharegpt4v.catalogues.sources import resolve
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_text
from sharegpt4v.image_paths import safe_name
from sharegpt4v.images.urls import WebList

HEADER = ["url", "name"]


def read_url_list(path: Path, mini_base_url: str | None = None) -> dict[str, str]:
    """Read a tab-separated list with the header `url name` into URL by image name; ``mini:`` URLs are resolved."""
    urls: dict[str, str] = {}
    for number, line in enumerate(read_text(path, "a list of URLs").removesuffix("\n").split("\n"), start=1):
        cells = line.removesuffix("\r").split("\t")
        if number == 1:
            if cells != HEADER:
                raise UserError(f"{path}, line 1: {line[:60]!r}; expected the tab-separated columns url and name")
            continue
        try:
            url, name = cells
            name = safe_name(name)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}; expected a URL, a tab and a relative file name") from None
        if name in urls:
            raise UserError(f"{path}, line {number}: the name {name!r} was given before; names have to differ")
        urls[name] = resolve(url, mini_base_url)
    if not urls:
        raise UserError(f"{path}: no URLs in it; expected one per line after the header")
    return urls


KIND = WebList(read_url_list)
