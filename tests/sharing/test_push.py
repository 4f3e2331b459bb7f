"""Pushing to the Hub, by the real client to a server of the same protocol: what arrives, what does not go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

from hub_uploads import READER, WRITER, UploadHub, serving
from sharegpt4v import layout
from sharegpt4v.catalogues.licences import terms_in
from sharegpt4v.cli import main
from sharegpt4v.config import Config, load
from sharegpt4v.errors import UserError
from sharegpt4v.files import sha256_of, write_json
from sharegpt4v.sharing import permission
from sharegpt4v.sharing.permission import binding_terms, refuse_unless_licensed
from sharegpt4v.sharing.shared_folder import SharedFolder
from small_run import run as run

CARD = "---\nlicense: apache-2.0\n---\n# Mine\n"
SET = "datasets/me/set"


@pytest.fixture
def hub(run: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadHub]:
    """A Hub, and the environment of somebody who may write there."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # the server has LFS alone
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    disable_progress_bars()  # as the program does, by its environment
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
    enable_progress_bars()


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name."""
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def exported(name: str = "captions", *more: str) -> Path:
    """Export a set of the run."""
    out = Path("exported") / name
    arguments = ["export", "dataset", name, "--format", "parquet", "--rows-per-file", "9", "--out", str(out)]
    assert main([*arguments, *more]) == 0
    return out


def model() -> Path:
    """The folder of a model, small and with hidden files, which stay here."""
    folder = Path("my-model")
    folder.mkdir()
    for name, text in {
        "config.json": "{}",
        "README.md": CARD,
        "model.safetensors": "weights",
        ".env": "secret",
    }.items():
        (folder / name).write_text(text)
    return folder


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a push that fails says: one line, without the token."""
    capsys.readouterr()
    assert main(["push", *arguments]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1, said.err
    assert WRITER not in said.err and READER not in said.err and not said.out
    return said.err


def test_what_arrives_is_what_was_sent_and_a_second_push_sends_nothing(
    hub: UploadHub, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = exported()
    assert main(["push", str(folder), "me/set"]) == 0
    repository = hub.repositories[SET]
    assert repository.files == files_of(folder)
    assert not repository.private and len(hub.puts) == 5
    assert f"{hub.url}/datasets/me/set: 8 files" in capsys.readouterr().err
    hub.requests.clear()
    assert main(["push", str(folder), "me/set"]) == 0
    assert len(hub.puts) == 5 and len(repository.commits) == 1
    assert not [request for request in hub.requests if "commit" in request or request.startswith("PUT")]
    assert "nothing new; 8 files" in capsys.readouterr().err


def test_a_model_goes_without_its_hidden_files(hub: UploadHub) -> None:
    folder = model()
    assert main(["push", str(folder), "me/model", "--private"]) == 0
    repository = hub.repositories["models/me/model"]
    assert repository.files.keys() == {"config.json", "README.md", "model.safetensors"}
    assert repository.private


def test_a_set_is_pushed_by_its_name(hub: UploadHub) -> None:
    assert main(["push", "seed", "me/set"]) == 0
    assert hub.repositories[SET].files == files_of(Path(".work/shared/seed"))
    assert hub.repositories[SET].files["README.md"].count(b"Miniature: ") == 1


def test_a_push_that_broke_resumes_with_what_is_missing(hub: UploadHub, capsys: pytest.CaptureFixture[str]) -> None:
    folder = exported()
    last = sha256_of(sorted((folder / "data").iterdir())[-1])
    hub.refused.add(last)
    said = refused(str(folder), "me/set", capsys=capsys)
    assert "the same command resumes" in said and "secretsignature" not in said
    before = len(hub.puts)
    assert before == 4 and not hub.repositories[SET].files
    assert main(["push", str(folder), "me/set"]) == 0
    assert hub.puts[before:] == [last]
    assert hub.repositories[SET].files == files_of(folder)


def test_a_dry_run_lists_files_and_sizes_and_asks_nobody(
    hub: UploadHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    folder = exported()
    assert main(["push", str(folder), "me/set", "--dry-run"]) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    sizes = {name: int(size.replace(",", "")) for size, name in (line.split() for line in lines)}
    assert sizes == {name: len(content) for name, content in files_of(folder).items()}
    assert total == f"8 files, {sum(sizes.values()):,} bytes of a dataset would go to me/set; nothing was sent"
    assert not hub.requests


def test_a_token_that_is_missing_or_refused_is_one_line(
    hub: UploadHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(exported())
    monkeypatch.setenv("HF_TOKEN", READER)
    assert "HTTP 403" in (said := refused(folder, "me/set", capsys=capsys)) and "may write there" in said
    monkeypatch.setenv("HF_TOKEN", "hf_someOther")
    assert "HTTP 401" in (said := refused(folder, "me/set", capsys=capsys)) and "hf_someOther" not in said
    monkeypatch.setenv("HF_TOKEN", "")
    assert refused(folder, "me/set", capsys=capsys).startswith("HF_TOKEN: not set; expected a token")
    assert not hub.repositories


def test_the_token_is_in_no_file_and_goes_nowhere_in_the_clear(
    hub: UploadHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("S4V_JOBS", "logs/jobs")
    folder = exported()
    assert main(["push", str(folder), "me/set"]) == 0
    said = capsys.readouterr()
    assert WRITER not in said.out + said.err
    written = files_of(Path.cwd())
    assert any(name.startswith("logs/jobs/push") for name in written)
    assert not [name for name, content in written.items() if WRITER.encode() in content]
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    assert "expected https, as the token goes there" in refused(str(folder), "me/set", capsys=capsys)


def test_a_repository_that_is_public_is_not_taken_for_a_private_one(
    hub: UploadHub, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(exported())
    assert main(["push", folder, "me/set"]) == 0
    assert "is there, and public" in refused(folder, "me/set", "--private", capsys=capsys)


def test_without_a_card_or_its_licence_nothing_goes(hub: UploadHub, capsys: pytest.CaptureFixture[str]) -> None:
    folder = model()
    (folder / "README.md").write_text("# Mine\n")
    assert "names no licence" in refused(str(folder), "me/model", capsys=capsys)
    (folder / "README.md").unlink()
    assert "no card, README.md, in it" in refused(str(folder), "me/model", capsys=capsys)
    (folder / "config.json").unlink()
    assert "expected an exported data set or a model" in refused(str(folder), "me/model", capsys=capsys)
    assert "no folder, set or model; expected one of seed" in refused("nothing", "me/model", capsys=capsys)
    assert not hub.requests


def test_what_the_miniature_drew_may_be_passed_on_with_its_images(hub: UploadHub) -> None:
    assert main(["push", str(exported("captions", "--images")), "me/set"]) == 0
    assert any(b"image" in content for content in hub.repositories[SET].files.values())


@pytest.fixture
def of_paper() -> Config:
    return load(Path("config/paper-7b.yaml"))


def folder_with(**provenance: object) -> SharedFolder:
    """An exported data set with this provenance."""
    return SharedFolder(Path("set"), "dataset", {}, {"license": "other"}, dict(provenance))


def test_captions_may_go_and_their_images_may_not(of_paper: Config) -> None:
    inputs, sources = {layout.SEED_CAPTIONS.as_posix(): ""}, {"coco": 2, "sam": 1, "text": 1, "nowhere": 1}
    refuse_unless_licensed(of_paper, folder_with(inputs=inputs, images=False, sources=sources), None)
    with_images = folder_with(inputs=inputs, images=True, sources=sources)
    with pytest.raises(UserError) as raised:
        refuse_unless_licensed(of_paper, with_images, None)
    said = str(raised.value)
    assert "images of coco (Flickr's terms of use: forbidden)" in said
    assert "images of sam (Meta's own for SA-1B, research only: forbidden)" in said
    assert "images of nowhere (not known; ask whoever publishes it: not stated)" in said
    assert "text" not in said.partition("images of")[2].replace("--despite-licence", "") and "\n" not in said
    refuse_unless_licensed(of_paper, with_images, "I am the photographer")
    with pytest.raises(UserError):
        refuse_unless_licensed(of_paper, with_images, " ")


def test_an_exported_checkpoint_is_bound_by_what_it_was_exported_from(
    of_paper: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = layout.finetuned("sharegpt4v-7b")
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(permission, "terms_of", lambda _, path: {terms_in("MIT")[0]: [path.as_posix()]})
        bound = binding_terms(of_paper, folder_with(inputs={str(tmp_path / model): ""}))
    assert bound == {terms_in("MIT")[0]: ["set", model.as_posix()]}


def test_a_reason_goes_along(
    hub: UploadHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = exported("captions", "--images")
    write_json(folder / "provenance.json", {"images": True, "sources": {"elsewhere": 1}})
    assert "elsewhere" in refused(str(folder), "me/set", capsys=capsys)
    assert main(["push", str(folder), "me/set", "--despite-licence", "drawn by me"]) == 0
    assert hub.repositories[SET].descriptions == ["Despite its terms: drawn by me"]
