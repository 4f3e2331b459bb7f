"""Downloads from Hugging Face: of one commit, whole, compared with its lists; and one line when they cannot be had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub.constants
import pytest

from hub_server import COMMIT, Hub, serving
from sharegpt4v.catalogues.checkpoints import Checkpoint
from sharegpt4v.config.base_models import Published
from sharegpt4v.errors import UserError
from sharegpt4v.models import downloads
from sharegpt4v.models.downloads import folder_of, pinned

ID = "liuhaotian/llava-v1.5-7b"  # of the table, with the first digits of its commit
FILES = {
    "config.json": b"{}", "tokenizer.model": b"pieces", "pytorch_model-00001-of-00002.bin": bytes(range(256)) * 40,
    "pytorch_model-00002-of-00002.bin": b"second", "mm_projector.bin": b"projector", "modeling.py": b"raise SystemExit",
    "README.md": b"# LLaVA", "images/cat.json": b"{}",
}  # fmt: skip
WANTED = {name for name in FILES if name.startswith(("config", "tokenizer", "pytorch"))}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving(ID, dict(FILES)) as hub:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
        template = f"http://127.0.0.1:{hub.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        huggingface_hub.close_session()
        yield hub
        huggingface_hub.close_session()


def test_a_listed_checkpoint_is_completed_downloaded_once_and_kept(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(Published(id=ID))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {name: FILES[name] for name in WANTED}
    assert folder.name == COMMIT and pinned(Published(id=ID)).revision == COMMIT
    assert sorted(hub.sent) == sorted(WANTED)
    assert folder_of(Published(id=ID, revision=COMMIT)) == folder and len(hub.sent) == len(WANTED)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert folder_of(Published(id=ID)) == folder


def test_a_download_that_was_cut_off_resumes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "pytorch_model-00001-of-00002.bin"
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut = {name: 5000}
    folder = folder_of(Published(id=ID))
    assert (folder / name).read_bytes() == FILES[name]
    assert hub.ranges == [f"{name} bytes=5000-"]


@pytest.mark.parametrize("name", ["config.json", "pytorch_model-00002-of-00002.bin"])
def test_a_damaged_file_is_refused_and_fetched_again(name: str, hub: Hub) -> None:
    hub.spoiled = {name: bytes(len(FILES[name]))}
    with pytest.raises(UserError, match=rf"{name}: damaged: .*; Hugging Face lists .* run the same command again"):
        folder_of(Published(id=ID))
    hub.spoiled = {}
    assert (folder_of(Published(id=ID)) / name).read_bytes() == FILES[name]


def test_what_cannot_be_had_is_one_line(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Usage(NamedTuple):
        free: int

    def refused(published: Published, complaint: str) -> None:
        with pytest.raises(UserError, match=complaint) as error:
            folder_of(published)
        assert "\n" not in str(error.value)

    refused(Published(id=ID, revision="0" * 40), r"llava-v1\.5-7b at 0{40}: cannot be downloaded \(")
    refused(Published(id=ID, revision="0" * 10), r"llava-v1\.5-7b at 0{10}: 0 commits begin so; expected the 40 digits")
    refused(
        Published(id="nobody/nothing"), r"nobody/nothing: no such folder; expected one, or a Hugging Face id with i"
    )
    small: Any = Usage(1000)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: small)
        refused(
            Published(id=ID), r"0\.0 GB of liuhaotian/llava-v1\.5-7b are to be downloaded there and 0\.0 GB are free"
        )
    assert hub.sent == []
    exact = {ID: Checkpoint(ID, COMMIT, ("pytorch_model-*.bin",), 7, True, "", "")}
    with monkeypatch.context() as patched:
        patched.setattr(downloads, "read_checkpoints", lambda: exact)
        refused(Published(id=ID), r"10,246 bytes of weights; config/checkpoints\.tsv says 7")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    hub.shutdown()
    hub.server_close()
    huggingface_hub.close_session()
    refused(Published(id=ID), r"llava-v1\.5-7b at 4481d27: cannot be downloaded \(")
    refused(Published(id=ID, revision=COMMIT), r"cannot be downloaded \(.*; the same command resumes, or name a folder")
