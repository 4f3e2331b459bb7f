"""Section ``sources``: which images and annotation files are fetched, and how (paper §3.2 and §3.3, table 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sharegpt4v.config.section import Count, CountOrNone, Fraction, Section, SourceName

Policy = Literal["fail", "drop", "report"]


class Img2Dataset(Section):
    """The command img2dataset, which downloads the sources that are lists of web addresses."""

    command: Path = Field(
        default=Path(".venv-img2dataset/bin/img2dataset"),
        description="Path of the command, in an environment of its own.",
    )
    threads: Count = Field(default=8, description="Downloads at a time.")
    timeout_seconds: Count = Field(default=10, description="Seconds after which one download is given up.")
    retries: CountOrNone = Field(default=2, description="Further attempts per address.")


class Sources(Section):
    """Where images come from, and how many may be missing or broken."""

    catalogue: Path = Field(
        default=Path("config/sources.tsv"),
        description="Path of the table of sources (TSV): address, count, bytes, hash, licence.",
    )
    use: tuple[SourceName, ...] = Field(
        default=(
            "coco", "llava", "sam", "web-celebrity", "web-landmark", "wikiart", "share_textvqa", "gqa", "ocr_vqa",
            "textvqa", "vg", "coco-captions", "llava-captions", "llava-mix665k", "llava-detail23k",
        ),
        description="Names of the rows of the catalogue that this run fetches (paper table 1 and §4.3).",
    )  # fmt: skip
    missing: Policy = Field(
        default="drop",
        description="What missing and broken images do. fail: one stops its source, and a training whose rows name it. "
        "drop: they are left out, and rows that name them, up to `largest_bad_fraction`. report: however many.",
    )
    largest_bad_fraction: Fraction = Field(
        default=0.01,
        description="Share of a source's images, or of a training's rows, that may be left out before the run stops.",
    )
    smallest_success_rate: Fraction = Field(
        default=0.9, description="Share of a list of web addresses that has to be downloaded for the run to continue."
    )
    img2dataset: Img2Dataset = Field(default=Img2Dataset(), description="How lists of web addresses are downloaded.")
    largest_image_megapixels: float = Field(
        default=200,
        gt=0,
        le=200,
        description="Largest image, in millions of pixels. One of more counts as broken and is not decoded: decoding "
        "takes up to 20 bytes of memory per pixel.",
    )
    largest_unpacking_ratio: float = Field(
        default=100, ge=1, description="Largest size of what an archive unpacks to, as a multiple of its own size."
    )
    largest_archive_entries: Count = Field(default=2_000_000, description="Most files and folders in one archive.")
    keep_free_gigabytes: float = Field(
        default=1,
        ge=0,
        description="Disk space that downloading and unpacking leave free; they stop before it is used.",
    )
    allow_private_addresses: bool = Field(
        default=False,
        description="Whether lists of web addresses, which others write, may name this machine and private networks.",
    )
    workers: Count = Field(default=16, description="Processes that decode and check images.")
    keep_archives: bool = Field(
        default=True, description="Whether downloaded archives stay on disk once they are unpacked."
    )
    link_files: dict[SourceName, Path] = Field(
        default={},
        description="Your files of personal links, by source: `{sam: FILE}` is the text of file names and links that "
        "Meta gives to those who accept the terms of SA-1B. When the links expire, put a new file there.",
    )
    placed: tuple[SourceName, ...] = Field(
        default=(), description="Names of sources whose images you have put in place yourself: nothing is fetched."
    )
    folder_sources: dict[SourceName, Path] = Field(
        default={},
        description="Your own images: a name for each source, and its folder. They join as `data/<name>/images`.",
    )

    @property
    def most_pixels(self) -> int:
        """Pixels of the largest image that is decoded."""
        return round(self.largest_image_megapixels * 1e6)

    @property
    def keep_free_bytes(self) -> int:
        """Bytes of the disk that stay free."""
        return round(self.keep_free_gigabytes * 1e9)
