"""Lists of web addresses: the paper's web images, OCR-VQA.

Each run asks only for what is not on disk yet, and every failure comes back with its reason. Others write these lists,
so an address that is not of the public web is never asked for; see `crawler_guard`.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from sharegpt4v.catalogues.sources import resolve
from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, read_text
from sharegpt4v.image_paths import safe_name
from sharegpt4v.images.crawler import collect, crawl
from sharegpt4v.images.crawler_guard import objection
from sharegpt4v.images.listing import Listing

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


def read_ocr_vqa(path: Path) -> dict[str, str]:
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


def fetch_urls(
    urls: Mapping[str, str], folder: Path, work: Path, settings: Sources, mini_base_url: str | None = None
) -> Listing:
    """Bring the images of `urls` (URL by name) to ``folder/name``, byte for byte as served.

    Those on disk already are not asked for again, those that failed are. `work` holds the round that is under way; one
    that was killed is collected first. `mini_base_url` may be asked although it is on this machine.
    """
    output = work / "img2dataset"
    collect(output, folder)
    allowed = (urlsplit(mini_base_url).netloc,) if mini_base_url else ()
    missing = {name: url for name, url in urls.items() if not (folder / name).exists()}
    private = settings.allow_private_addresses
    reasons = {name: why for name, url in missing.items() if (why := objection(url, allowed, private))}
    if wanted := {name: url for name, url in missing.items() if name not in reasons}:
        shutil.rmtree(output, ignore_errors=True)
        crawl(wanted, output, work, settings, allowed)
        reasons |= collect(output, folder)
    shutil.rmtree(output, ignore_errors=True)
    failures = {
        name: f"{reasons.get(name, 'img2dataset gave no answer')} ({url})"
        for name, url in missing.items()
        if not (folder / name).exists()
    }
    return Listing([name for name in urls if name not in failures], failures)


def check_success_rate(source: str, listing: Listing, smallest_success_rate: float) -> None:
    """Raise a `UserError` with the three commonest reasons when less than that share (0 to 1) of the URLs was had."""
    found, failed = len(listing.found), len(listing.failures)
    if found < smallest_success_rate * (found + failed):
        reasons = Counter(reason.rpartition(" (")[0] for reason in listing.failures.values()).most_common(3)
        commonest = ", ".join(f"{count:,} times {reason}" for reason, count in reasons)
        raise UserError(
            f"{source}: {found:,} of {found + failed:,} URLs could be fetched, expected at least "
            f"{smallest_success_rate:.0%}; commonest reasons: {commonest}; run again to retry, or lower the rate"
        )
