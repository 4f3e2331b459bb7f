"""Published checkpoints (paper section 4.1) by the id and the commit that they have on Hugging Face, or from folders.

What is downloaded: settings, vocabularies and weights, as safetensors where there are any; never code. A download that
was cut off resumes. Then the size and the hash of every file are compared with those that Hugging Face lists for the
commit: SHA-256 of large files, git's hash of small ones. They come from the same place, so they find damage, not fraud.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from sharegpt4v.catalogues.checkpoints import REVISION, WHOLE, read_checkpoints
from sharegpt4v.config.base_models import Published
from sharegpt4v.errors import UserError
from sharegpt4v.files import sha256_of

SETTINGS = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja")
WEIGHTS = ("*.safetensors", "*.bin")  # in the order of preference


def folder_of(published: Published) -> Path:
    """Return the folder of a published checkpoint, downloaded from Hugging Face unless its id is a folder's path.

    A `UserError` when it cannot be had, is damaged, or has no revision and is not in `config/checkpoints.tsv`.
    """
    if (folder := Path(published.id).expanduser()).is_dir():
        return folder
    return _download(pinned(published))


def pinned(published: Published) -> Published:
    """Return a published checkpoint with its whole commit; a folder's path is returned as it is.

    Without a revision, that of `config/checkpoints.tsv` holds. First digits of a commit are completed from what was
    downloaded before, or by asking Hugging Face.
    """
    if Path(published.id).expanduser().is_dir():
        return published
    listed = read_checkpoints().get(published.id)
    revision = published.revision or (listed.revision if listed else "")
    if not revision:
        raise UserError(
            f"{published.id}: no such folder; expected one, or a Hugging Face id with its revision (a commit there)"
        )
    if len(revision) < WHOLE and REVISION.fullmatch(revision):
        revision = _completed(published.id, revision)
    return Published(id=published.id, revision=revision)


def _completed(id: str, digits: str) -> str:
    from huggingface_hub import HfApi

    found = [folder.name for folder in _downloaded(id).glob(f"{digits}*")]
    if not found:
        with _refused(id, digits):
            commits = HfApi().list_repo_commits(id)
        found = [commit.commit_id for commit in commits if commit.commit_id.startswith(digits)]
    if len(found) != 1:
        raise UserError(f"{id} at {digits}: {len(found)} commits begin so; expected the {WHOLE} digits of one")
    return found[0]


def _downloaded(id: str) -> Path:
    """Where huggingface_hub keeps what it has downloaded of a repository, a folder for each commit."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE, f"models--{id.replace('/', '--')}", "snapshots")


def _download(published: Published) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    id, revision = published.id, str(published.revision)
    try:
        with _refused(id, revision):
            about = HfApi().model_info(id, revision=revision, files_metadata=True)
    except UserError:
        if (before := _downloaded(id) / revision).is_dir():
            return before  # whoever reads the weights finds out whether they are whole
        raise
    files = {one.rfilename: one for one in about.siblings or ()}
    wanted = _wanted(id, list(files))
    with _refused(id, revision):
        coming = snapshot_download(id, revision=revision, allow_patterns=wanted, dry_run=True)
        _expect_room(id, sum(one.file_size or 0 for one in coming if one.will_download))
        folder = Path(snapshot_download(id, revision=revision, allow_patterns=wanted))
    for name in wanted:
        _compare(folder / name, files[name])
    listed = read_checkpoints().get(id)
    if listed and listed.is_exact and listed.bytes:
        weights = [name for name in wanted if any(fnmatch(name, pattern) for pattern in listed.files)]
        if (found := sum((folder / name).stat().st_size for name in weights)) != listed.bytes:
            raise UserError(f"{folder}: {found:,} bytes of weights; config/checkpoints.tsv says {listed.bytes:,}")
    return folder


def _wanted(id: str, names: list[str]) -> list[str]:
    """The files to take: settings, and of the weights those that the table names, or else those of one format."""
    listed = read_checkpoints().get(id)
    top = [name for name in names if "/" not in name]
    choices = [listed.files] if listed else [(pattern,) for pattern in WEIGHTS]
    for patterns in choices:
        weights = [name for name in top if any(fnmatch(name, pattern) for pattern in patterns)]
        if weights:
            return [*(name for name in top if any(fnmatch(name, pattern) for pattern in SETTINGS)), *weights]
    raise UserError(f"{id}: no weights in it; expected files such as {', '.join(patterns)}")


def _expect_room(id: str, missing: int) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(cache).free) < missing:
        raise UserError(
            f"{cache}: {missing / 1e9:,.1f} GB of {id} are to be downloaded there and {free / 1e9:,.1f} GB are free; "
            "make room, or set HF_HOME to a folder on a larger disk"
        )
    if missing:
        print(f"{id}: downloading {missing / 1e9:,.1f} GB to {cache}", file=sys.stderr)


def _compare(file: Path, listed: Any) -> None:
    """Refuse a file whose size or hash is not what Hugging Face lists; it is deleted, so that it is fetched again."""
    size, blob = file.stat().st_size, file.resolve()
    if listed.lfs:
        expected, found = listed.lfs.sha256, sha256_of(file)
    else:
        expected = listed.blob_id
        found = hashlib.sha1(b"blob %d\0" % size + file.read_bytes(), usedforsecurity=False).hexdigest()
    if found != expected:
        blob.unlink()
        file.unlink(missing_ok=True)
        raise UserError(
            f"{file}: damaged: {size:,} bytes with the hash {found}; Hugging Face lists {listed.size or 0:,} with "
            f"{expected}. It is deleted; run the same command again"
        )


@contextmanager
def _refused(id: str, revision: str) -> Iterator[None]:
    """Turn what huggingface_hub raises, on the network and on disk, into a `UserError` of one line."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    hub = (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled)
    try:
        yield
    except (*hub, HTTPError, InvalidURL, OSError) as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{id} at {revision}: cannot be downloaded ({why}); the same command resumes, or name a folder that "
            "holds it"
        ) from None
