"""Sources that are archives: each is fetched and unpacked once, and may go when its files are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sharegpt4v.catalogues.sources import Source
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, write_json
from sharegpt4v.image_paths import safe_name
from sharegpt4v.images.archives import Damaged, unpack
from sharegpt4v.images.fetch import metadata_path
from sharegpt4v.images.kind import Fetching, Kind
from sharegpt4v.images.listing import Listing, has_image_suffix, link_or_copy
from sharegpt4v.images.obtain import File, files_of


class Archives(Kind):
    """Archives, and single images among them."""

    def files(self, source: Source, to: Fetching) -> Iterator[File]:
        """Yield the files of a source in the order of its addresses."""
        return files_of(source, to)

    def fetch(self, source: Source, to: Fetching) -> Listing:
        """Unpack every archive into the folder of the source, and link every single image."""
        listing = Listing()
        for file in self.files(source, to):
            if has_image_suffix(file.name):  # of a folder on Drive
                name = safe_name(file.name)
                link_or_copy(file.obtain(), to.folder / name)
                listing.found.append(name)
            else:
                _add(listing, file.name, _unpack_once(source, file, to))
        return listing

    def archives(self, source: Source) -> list[str]:
        """The addresses are archives."""
        return [download.file_name for download in source.downloads]

    def bytes_on_disk(self, source: Source, unpacked_factor: float) -> float:
        """Archives, and what is unpacked of them."""
        return unpacked_factor * super().bytes_on_disk(source, unpacked_factor)


def _add(listing: Listing, archive: str, unpacked: dict[str, Any]) -> None:
    """List what came out of an archive; what damage it has is a failure under its own name."""
    listing.found += unpacked["members"]
    listing.failures |= unpacked["refused"]
    if unpacked["damage"]:
        listing.failures[archive] = unpacked["damage"]
    listing.archives |= dict.fromkeys([archive, *unpacked["members"], *unpacked["refused"]], archive)


def _unpack_once(source: Source, file: File, to: Fetching) -> dict[str, Any]:
    """Unpack one archive unless it was and its files are all there; return its `members`, those `refused`, its
    `damage`."""
    folder, work, settings = to.folder, to.work, to.settings
    record = work / "unpacked" / f"{file.name}.json"
    done = read_json(record) if record.exists() else {}
    as_asked = [source.folder, source.strip_prefix, source.images != 0]
    complete = bool(done) and all(_has_size(folder / name, size) for name, size in done["members"].items())
    complete = complete and done["as_asked"] == as_asked
    if complete and done["removed"]:
        return dict(done)
    archive = file.obtain()
    status = archive.stat()
    version = [status.st_size, status.st_mtime_ns]
    if not complete or done["version"] != version:
        done = {"as_asked": as_asked, "version": version, "damage": ""}
        try:
            only_images = source.images != 0
            unpacked = unpack(
                archive, folder, strip_prefix=source.strip_prefix, only_images=only_images, limits=settings
            )
        except Damaged as error:
            # Where it is known how many images there should be, those that damage takes count as missing.
            counted = settings.missing == "drop" and source.images and error.unpacked.members
            if not counted and settings.missing != "report":
                raise
            unpacked, done["damage"] = error.unpacked, str(error)
        done |= {"members": unpacked.members, "refused": unpacked.refused}
    if not done["members"] and not done["damage"]:
        raise UserError(f"{archive}: none of the files that {source.name} needs are in it")
    # Only what was downloaded here may be removed here, and another copy may be whole.
    ours = archive.is_relative_to(work) and metadata_path(archive).exists()
    done["removed"] = ours and not settings.keep_archives and not done["damage"]
    write_json(record, done)
    if done["removed"]:
        archive.unlink()
    return dict(done)


def _has_size(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size == size
