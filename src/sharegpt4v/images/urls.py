"""Lists of web addresses: the paper's web images, OCR-VQA.

Each run asks only for what is not on disk yet, and every failure comes back with its reason. Others write these lists,
so an address that is not of the public web is never asked for; see `crawler_guard`.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from sharegpt4v.catalogues.sources import Source
from sharegpt4v.config.sources import Sources
from sharegpt4v.errors import UserError
from sharegpt4v.images.crawler import collect, crawl
from sharegpt4v.images.crawler_guard import objection
from sharegpt4v.images.kind import Fetching, Kind
from sharegpt4v.images.listing import Listing
from sharegpt4v.images.obtain import only_file


class WebList(Kind):
    """Images that a list of web addresses names; img2dataset downloads them."""

    needs_img2dataset = True

    def __init__(self, read: Callable[[Path, str | None], dict[str, str]]) -> None:
        """`read` turns a list, and the address of the synthetic world, into URL by image name."""
        self._read = read

    def fetch(self, source: Source, to: Fetching) -> Listing:
        """Fetch the list, then what it names."""
        urls = self._read(only_file(source, to).obtain(), to.mini_base_url)
        return fetch_urls(urls, to.folder, to.work, to.settings, to.mini_base_url)

    def allowed_failures(self, source: Source, listing: Listing, settings: Sources) -> int:
        """Dead links have a limit of their own."""
        check_success_rate(source.name, listing, settings.smallest_success_rate if settings.missing == "drop" else 1.0)
        return len(listing.failures)


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
