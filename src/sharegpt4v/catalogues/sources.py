"""The catalogue of sources: which archives, URL lists and folders make up the images of the paper.

A catalogue is a tab-separated table, ``config/sources.tsv`` for the paper and ``config/sources.mini.tsv`` for the
synthetic world. Its rows are the download page of the paper's data, as data: address, size, hash, licence, login.
``config/benchmark_files.tsv`` says the same of the benchmarks' official files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from sharegpt4v.code_hash import names_in
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_text
from sharegpt4v.image_paths import plain_name, problem_in

COLUMNS = (
    "name", "kind", "folder", "address", "strip_prefix", "images", "bytes", "sha256", "licence", "login", "about",
)  # fmt: skip
OFFICIAL_COLUMNS = ("name", "benchmarks", "gives", *COLUMNS[1:])
KINDS = tuple(name.replace("_", "-") for name in names_in("images.kinds"))
DIGESTS = {64: "sha256", 32: "md5"}  # hashes by their number of hexadecimal digits
MINI = "mini:"
LONGEST_NUMBER = 18  # digits
MOST_ADDRESSES = 100_000  # SA-1B, the largest source, has a thousand archives
ENDINGS = (".part", ".json", ".lock", ".list.json")  # of the files beside a download
ABOUT = "~"  # before a number of bytes that was published rounded


@dataclass(frozen=True)
class Download:
    """One file to fetch: where it is, and its size in bytes and hash where they are known.

    `bytes` is exact and checked; `about_bytes` is a size that was published rounded, and is only planned with.
    `sha256` may be an MD5, told by its length, where nothing better was published. `name` is for an address that does
    not end in the file's name, as a personal link.
    """

    address: str
    bytes: int | None = None
    sha256: str | None = None
    about_bytes: int | None = None
    name: str = ""

    @property
    def file_name(self) -> str:
        """The name of the file on disk: the last part of the catalogue's address, unless a name is given.

        No server has a say in it. A ValueError says why a name would lead elsewhere, as `..%2Fa.zip` does.
        """
        return plain_name(self.name or unquote(PurePosixPath(urlsplit(self.address).path).name))


@dataclass(frozen=True)
class Source:
    """One row of the catalogue.

    `kind` is the name of a file of `images/kinds`, which says how the source is fetched. `folder` is relative to
    ``data/``. `strip_prefix` is taken off the names of archive members that begin with it; ``*/`` is all
    their folders. `images` is how many images the source should hold: None when unknown, 0 when its files are not
    images. `login` says what a person must do first; empty when nothing.

    Of a row of official files, `benchmarks` are those that need it, and `gives` the patterns, below the folder of all
    benchmarks, of what is there when it is.
    """

    name: str
    kind: str
    folder: str
    downloads: tuple[Download, ...]
    strip_prefix: str = ""
    images: int | None = None
    licence: str = ""
    login: str = ""
    about: str = ""
    benchmarks: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()


def read_catalogue(path: Path | str, columns: tuple[str, ...] = COLUMNS) -> dict[str, Source]:
    """Read a catalogue into sources by name, in file order; empty lines and lines beginning with # are skipped.

    Anything out of order is a `UserError` with the file and the line.
    """
    return dict(_parsed(read_text(path, "a catalogue of image sources"), path, columns))


@lru_cache
def _parsed(text: str, path: Path | str, columns: tuple[str, ...]) -> dict[str, Source]:
    lines = text.splitlines()
    sources: dict[str, Source] = {}
    header_seen = False
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        try:
            if not header_seen:
                _expect(tuple(cells) == columns, f"expected the tab-separated columns {' '.join(columns)}")
                header_seen = True
                continue
            source = _source(cells, columns)
            _expect(source.name not in sources, f"source {source.name!r} is listed twice; give each a name of its own")
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        sources[source.name] = source
    if not sources:
        raise UserError(f"{path}: no sources in it; expected the columns {' '.join(columns)} and a row per source")
    return sources


def resolve(address: str, mini_base_url: str | None = None) -> str:
    """Turn an address beginning with ``mini:`` into one below `mini_base_url`; leave others as they are."""
    if not address.startswith(MINI):
        return address
    if mini_base_url is None:
        raise UserError(f"address {address}: the synthetic world is not being served; use a preset with other sources")
    return f"{mini_base_url.rstrip('/')}/{address.removeprefix(MINI)}"


def _source(cells: list[str], columns: tuple[str, ...]) -> Source:
    """Check the cells of one row and make a source of them; a ValueError says what is wrong."""
    _expect(len(cells) == len(columns), f"{len(cells)} columns, expected {len(columns)} separated by tabs")
    row = dict(zip(columns, cells, strict=True))
    name, kind = row["name"], row["kind"]
    _expect(not problem_in(name) and "/" not in name and name[0] != ".", f"{name!r} is no name for a source")
    _expect(kind in KINDS, f"kind {kind!r}; expected one of {', '.join(KINDS)}")
    folder = row["folder"] or f"{name}/images"
    _expect(not problem_in(folder), f"folder {folder!r}; expected a path below data/")
    _expect(bool(row["licence"]), "the licence is empty; say under which terms the files may be used")
    return Source(
        name=name,
        kind=kind,
        folder=PurePosixPath(folder).as_posix(),
        downloads=_downloads(row),
        strip_prefix=row["strip_prefix"],
        images=_whole(row["images"], "images") if row["images"] else None,
        licence=row["licence"],
        login=row["login"],
        about=row["about"],
        benchmarks=tuple(row.get("benchmarks", "").split()),
        gives=tuple(row.get("gives", "").split()),
    )


def _downloads(row: dict[str, str]) -> tuple[Download, ...]:
    """The addresses of a row with their sizes and hashes."""
    addresses = _spelled_out(row["address"])
    _expect(any(addresses), "the address is empty")
    sizes = [(_whole(cell.removeprefix(ABOUT), "bytes"), cell.startswith(ABOUT)) for cell in row["bytes"].split()]
    if len(sizes) == 1 and sizes[0][1]:  # a rounded size of all together
        sizes = [(sizes[0][0] // len(addresses), True)] * len(addresses)
    exact = [None if about else size for size, about in sizes]
    rounded = [size if about else None for size, about in sizes]
    hashes: list[str | None] = [_hash(cell) for cell in row["sha256"].split()]
    for what, known in (("bytes", sizes), ("sha256", hashes)):
        _expect(len(known) in (0, len(addresses)), f"{len(known)} values of {what} for {len(addresses)} addresses")
    nothing = [None] * len(addresses)
    downloads = tuple(map(Download, addresses, exact or nothing, hashes or nothing, rounded or nothing))
    for download in downloads:
        _check_address(download)
    names = [download.file_name for download in downloads]
    _expect(len(set(names)) == len(names), "two addresses end in the same file name; make two sources of them")
    ours = {f"{name}{ending}" for name in names for ending in ENDINGS}
    _expect(ours.isdisjoint(names), f"an address ends in the name of another and one of {', '.join(ENDINGS)}")
    return downloads


def _check_address(download: Download) -> None:
    """Raise a ValueError for an address that is none, or that does not end in the name of a file."""
    scheme, separator, _ = download.address.partition("://")
    _expect(
        not separator or scheme in ("http", "https"),
        f"address {download.address[:80]!r}; expected one that begins with http:// or https://, or a path",
    )
    try:
        _expect(bool(download.file_name), "")
    except ValueError as error:
        raise ValueError(f"address {download.address[:80]!r} does not end in a file name ({error})") from None


def _spelled_out(cell: str) -> list[str]:
    """The addresses of a cell; `sa_{000000..000050}.tar` stands for all from the first number to the last."""
    addresses: list[str] = []
    for address in cell.split():
        if match := re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", address):
            before, first, last, after = match.groups()
            _expect(len(last) <= LONGEST_NUMBER, f"{{{first[:80]}..{last[:80]}}}; expected two numbers")
            numbers = range(int(first), int(last) + 1)
            _expect(len(numbers) <= MOST_ADDRESSES, f"{len(numbers):,} addresses, expected at most {MOST_ADDRESSES:,}")
            addresses += [f"{before}{number:0{len(first)}d}{after}" for number in numbers]
        else:
            addresses.append(address)
    return addresses


def _whole(cell: str, what: str) -> int:
    _expect(
        cell.isascii() and cell.isdigit() and len(cell) <= LONGEST_NUMBER,
        f"{what} is {cell[:80]!r}; expected a whole number",
    )
    return int(cell)


def _hash(cell: str) -> str:
    _expect(
        len(cell) in DIGESTS and all(digit in "0123456789abcdef" for digit in cell.lower()),
        f"sha256 is {cell!r}; expected 64 hexadecimal digits, or the 32 of an MD5",
    )
    return cell.lower()


def _expect(held: bool, message: str) -> None:
    if not held:
        raise ValueError(message)
