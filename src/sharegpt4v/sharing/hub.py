"""Uploading a folder to the Hugging Face Hub, by huggingface_hub: what is there already, by hash, is not sent again.

The token comes from the environment (HF_TOKEN) and goes to the address in HF_ENDPOINT, or huggingface.co; it is in no
message.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from sharegpt4v.addresses import is_loopback
from sharegpt4v.errors import UserError, one_line
from sharegpt4v.sharing.shared_folder import SharedFolder

TOKEN, ENDPOINT = "HF_TOKEN", "HF_ENDPOINT"
HUB = "https://huggingface.co"
QUERY = re.compile(r"\?\S+")  # of an address to upload to: it is signed


def upload(folder: SharedFolder, repository: str, private: bool, remark: str = "") -> tuple[str, bool]:
    """Upload the files of a folder to `repository`, made when it is not there; return its address, and whether anything
    of it was new there. The `remark` goes into the description of the commit.

    A `UserError` of one line for a token that is missing or refused, a repository that is public against the wish, or a
    connection that breaks.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    token, endpoint = _token(), _endpoint()
    api = HfApi(endpoint=endpoint, token=token, library_name="sharegpt4v")
    with _refused(repository, token):
        address = api.create_repo(repository, repo_type=folder.kind, private=private or None, exist_ok=True)
        before = api.repo_info(repository, repo_type=folder.kind)
        if private and not before.private:
            raise UserError(f"{repository}: is there, and public; make it private there, or leave --private out")
        commit = api.upload_folder(
            repo_id=repository,
            repo_type=folder.kind,
            folder_path=folder.path,
            commit_message=f"Upload {folder.path.name} by sharegpt4v",
            commit_description=remark,
            allow_patterns=[glob.escape(name) for name in folder.files],
        )
    return str(address), commit.oid != before.sha


def _token() -> str:
    if token := os.environ.get(TOKEN, "").strip():
        return token
    raise UserError(f"{TOKEN}: not set; expected a token that may write, from the settings of your account on the Hub")


def _endpoint() -> str:
    endpoint = os.environ.get(ENDPOINT, "").rstrip("/") or HUB
    if urlsplit(endpoint).scheme != "https" and not is_loopback(endpoint):
        raise UserError(f"{ENDPOINT}: {QUERY.sub('', endpoint)}: expected https, as the token goes there")
    return endpoint


@contextmanager
def _refused(repository: str, token: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into a `UserError` of one line without the token."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except UserError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        remedy = "give it a token that may write there" if status in (401, 403) else "the same command resumes"
        raise UserError(f"{repository}: cannot be pushed (HTTP {status}: {_told(error, token)}); {remedy}") from None
    except (HTTPError, InvalidURL, OSError, ValueError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        raise UserError(f"{repository}: cannot be pushed ({_told(cause, token)}); the same command resumes") from None


def _told(error: BaseException, token: str) -> str:
    return QUERY.sub("", one_line(error).replace(token, "***"))
