"""How sources are fetched: what the config says, as the stage takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sharegpt4v.config.sources import Policy
from sharegpt4v.images.archives import LIMITS
from sharegpt4v.images.crawler import Crawler
from sharegpt4v.images.loading import MOST_PIXELS
from sharegpt4v.images.members import Limits


@dataclass(frozen=True)
class FetchSettings:
    """How sources are fetched.

    `workers`: processes that decode. `tries`, `timeout_s` (seconds), `first_wait_s` (seconds, doubling): see `fetch`.
    `missing`: what missing and broken images do. "fail": one stops the source. "drop": a share (0 to 1) above
    `largest_bad_fraction` does, or of a list of web addresses one below `smallest_success_rate`. "report": none does.
    `most_pixels`: of an image that is decoded. `limits`: of unpacking, and of the disk space that downloads leave free.
    `keep_archives`: whether archives stay on disk once unpacked. `link_files`: the user's files of personal links, by
    source. `crawler`: how img2dataset is run.
    """

    workers: int = 2
    tries: int = 5
    timeout_s: float = 30.0
    first_wait_s: float = 1.0
    missing: Policy = "drop"
    largest_bad_fraction: float = 0.02
    smallest_success_rate: float = 0.9
    most_pixels: int = MOST_PIXELS
    limits: Limits = LIMITS
    keep_archives: bool = True
    link_files: Mapping[str, Path] = field(default_factory=dict)
    crawler: Crawler = field(default_factory=Crawler)
