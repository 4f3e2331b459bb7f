"""Exported data sets: the rows that go in come out again, by the libraries that people load them with."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import mlcroissant
import pytest
from PIL import Image

from sharegpt4v import layout, lineage
from sharegpt4v.cli import main
from sharegpt4v.config import Config
from sharegpt4v.errors import UserError
from sharegpt4v.provenance import hash_of
from sharegpt4v.report.cards.data import data_card
from sharegpt4v.sharing import export
from sharegpt4v.sharing import shards as shard_files
from sharegpt4v.sharing.card import given_card
from sharegpt4v.sharing.export import Settings, export_data_set
from sharegpt4v.sharing.sets import conversations, data_set
from sharegpt4v.sharing.splits import Splits, parse_splits
from small_run import ROWS, write_rows
from small_run import run as run

MIX = "llava-665k+all"


def exported(
    config: Config,
    name: str,
    format: str = "parquet",
    images: bool = False,
    splits: Sequence[str] = ("validation=0.25",),
) -> Path:
    """Export a set of the run, with few rows a file."""
    out = Path("exported") / name
    settings = Settings(format, parse_splits(splits, 0), images, rows_per_file=8)
    export_data_set(data_set(config, name), out, settings, partial(data_card, config, name))
    return out


def loaded(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What `datasets` reads of a folder, with images as they are on disk."""
    found = datasets.load_dataset(str(folder))
    for name, feature in next(iter(found.values())).features.items():
        if isinstance(feature, datasets.Image):
            found = found.cast_column(name, datasets.Image(decode=False))
    return {split: list(rows) for split, rows in found.items()}


def every(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of all splits, sorted."""
    return sorted((row for rows in found.values() for row in rows), key=repr)


def expected(config: Config, name: str) -> list[dict[str, Any]]:
    """The rows of a set of the run, sorted."""
    return sorted(data_set(config, name).rows(), key=repr)


def test_captions_have_verdict_and_reason_in_parquet(run: Config) -> None:
    folder = exported(run, "captions")
    assert len(list(folder.glob("data/train-*-of-*.parquet"))) > 2
    rows = every(loaded(folder))
    assert rows == expected(run, "captions")
    assert len(rows) == ROWS and {row["status"] for row in rows} == {"accepted", "rejected"}
    assert {row["reason"] for row in rows if row["status"] == "rejected"} == {"looping"}


def test_seed_captions_have_their_provenance_and_the_rejected_ones(run: Config) -> None:
    rows = loaded(exported(run, "seed", splits=[]))["train"]
    assert rows == list(data_set(run, "seed").rows())
    assert rows[0]["prompt_hash"] == "0f" * 8 and rows[0]["sha256"] and rows[0]["model"] == "mini-teacher"
    assert (rows[-1]["status"], rows[-1]["reason"], rows[-1]["caption"]) == ("rejected", "refusal", "I cannot.")


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_images_are_the_files_byte_for_byte(run: Config, format: str) -> None:
    found = loaded(exported(run, MIX, format=format, images=True))
    pairs = [(row.get("json", row), row.pop("jpg" if format == "webdataset" else "image")) for row in every(found)]
    assert sorted((row for row, _ in pairs), key=repr) == expected(run, MIX)
    for row, image in pairs:
        path = row["image_path"]
        assert image is None if not path else image["bytes"] == (layout.DATA / path).read_bytes()
    assert sum(image is None for _, image in pairs) == 1


def test_webdataset_loads_by_its_own_reader_and_as_a_stream(run: Config) -> None:
    folder = exported(run, "captions", format="webdataset", images=True, splits=[])
    files = sorted(map(str, folder.glob("data/*.tar")))
    rows = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=True)
    assert [row["json"] for row in rows] == list(data_set(run, "captions").rows())
    with tarfile.open(files[0]) as tar:
        assert {(member.mtime, member.uid, member.uname) for member in tar} == {(0, 0, "")}


@pytest.mark.parametrize("name", ["seed", "pretraining", MIX])
def test_the_published_json_files_are_copied_byte_for_byte(run: Config, name: str) -> None:
    folder = exported(run, name, format="llava", splits=[])
    file = lineage.data_sets(run)[name]
    assert (folder / file.name).read_bytes() == file.read_bytes()
    rows = loaded(folder)["train"]
    assert [(row["image"] or "", row["conversations"]) for row in rows] == [
        (row["image_path"], row["conversations"]) for row in conversations(name, file).rows()
    ]


def test_an_image_is_in_the_same_split_in_every_set(run: Config) -> None:
    of = {
        name: {split: {row["image_path"] for row in rows} for split, rows in loaded(exported(run, name)).items()}
        for name in ("captions", MIX)
    }
    assert not of["captions"]["train"] & of["captions"]["validation"]
    assert of[MIX]["train"] - {""} <= of["captions"]["train"]
    assert of[MIX]["validation"] - {""} <= of["captions"]["validation"]


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows that mlcroissant reads, without the name of their set."""
    for record in mlcroissant.Dataset(str(folder / "croissant.json")).records("rows"):
        yield {key.removeprefix("rows/"): value for key, value in record.items()}


def test_mlcroissant_reads_the_captions(run: Config) -> None:
    found = [{key: value.decode() for key, value in row.items()} for row in records(exported(run, "captions"))]
    assert sorted(found, key=repr) == expected(run, "captions")


def test_mlcroissant_reads_conversations_and_images(run: Config) -> None:
    found, name = list(records(exported(run, MIX, images=True))), "rows/conversations/"
    said = [[(turn[f"{name}from"], turn[f"{name}value"]) for turn in row["conversations"]] for row in found]
    assert sorted(said) == sorted(
        [(turn["from"].encode(), turn["value"].encode()) for turn in row["conversations"]]
        for row in data_set(run, MIX).rows()
    )
    assert sum(row["image"] is not None and row["image"].size == (8, 6) for row in found) == len(found) - 1


@pytest.mark.parametrize("format", ["webdataset", "llava"])
def test_croissant_names_the_files_with_their_hashes(run: Config, format: str) -> None:
    folder = exported(run, "seed", format=format, splits=[])
    files = mlcroissant.Dataset(str(folder / "croissant.json")).metadata.distribution
    assert {one.content_url: one.sha256 for one in files} == {
        path.relative_to(folder).as_posix(): hash_of(path)
        for path in folder.rglob("*")
        if path.suffix in (".tar", ".json") and path.name not in ("croissant.json", "provenance.json")
    }


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_equal_rows_give_equal_bytes(run: Config, format: str) -> None:
    def bytes_of(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = bytes_of(exported(run, "captions", format=format, images=True))
    assert {"README.md", "croissant.json", "provenance.json"} < first.keys()
    assert bytes_of(exported(run, "captions", format=format, images=True)) == first


def test_after_a_kill_only_what_is_missing_is_written(run: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exported(run, "captions").rename("whole")
    written: list[str] = []
    write = shard_files.write_parquet

    def killed(path: Path, *arguments: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, *arguments)

    def counted(path: Path, *arguments: Any) -> None:
        written.append(path.name)
        write(path, *arguments)

    monkeypatch.setitem(shard_files.WRITERS, "parquet", (".parquet", killed))
    with pytest.raises(KeyboardInterrupt):
        exported(run, "captions")
    assert not Path("exported/captions").exists()
    monkeypatch.setitem(shard_files.WRITERS, "parquet", (".parquet", counted))
    folder = exported(run, "captions")
    assert sorted(written) == sorted(path.name for path in folder.glob("data/*"))
    assert hash_of(folder) == hash_of(whole)
    assert [path.name for path in Path("exported").iterdir()] == ["captions"]


def test_what_is_half_done_of_other_rows_is_not_taken(run: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(export, "write_croissant", lambda *_: 1 / 0)
        exported(run, "pretraining")
    write_rows(layout.PRETRAINING_CORPUS, json.loads(layout.SEED_CAPTIONS.read_text()))
    rows = every(loaded(exported(run, "pretraining")))
    assert rows == expected(run, "pretraining")


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["export", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_mistakes_are_one_line(run: Config, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = ("--format", "parquet", "--out", "exported/set")
    assert "no such set; expected one of seed, captions" in refused("dataset", "nothing", *parquet, capsys=capsys)
    assert "expected a SET and its --format" in refused("dataset", "seed", "--out", "x", capsys=capsys)
    assert "expected CHECKPOINT --layout" in refused("checkpoints/captioner", "--out", "x", capsys=capsys)
    assert "has no LLaVA JSON" in refused("dataset", "captions", "--format", "llava", "--out", "x", capsys=capsys)
    assert "the rest is train" in refused("dataset", "seed", *parquet, "--splits", "train=0.5", capsys=capsys)
    assert "add up to 1.2" in refused("dataset", "seed", *parquet, "--splits", "a=0.6", "b=0.6", capsys=capsys)
    assert "none of 21 rows" in refused("dataset", "seed", *parquet, "--splits", "a=0.000001", capsys=capsys)
    assert "not made by this project" in refused("dataset", "seed", *parquet[:-1], "data", capsys=capsys)
    assert not Path("exported/set").exists()
    layout.SEED_CAPTIONS.unlink()
    assert "not there yet; make it first" in refused("dataset", "seed", *parquet, capsys=capsys)


def test_an_image_that_is_missing_or_another_one_is_refused(run: Config) -> None:
    path = layout.DATA / next(data_set(run, "captions").rows())["image_path"]
    Image.new("RGB", (8, 6)).save(path)
    with pytest.raises(UserError, match=r"not the file that was captioned"):
        exported(run, "captions", images=True)
    path.unlink()
    with pytest.raises(UserError, match=r"cannot be read .* leave --images out"):
        exported(run, "captions", images=True)
    assert not Path("exported/captions").exists()


def test_a_given_card_is_kept_and_gets_what_loading_needs(run: Config) -> None:
    Path("card.md").write_text("---\nlicense: apache-2.0\npretty_name: Mine\n---\n# Mine\n\n<script>x</script>\n")
    own = ["--out", "exported/mine", "--card", "card.md"]
    assert main(["export", "dataset", str(layout.PRETRAINING_CORPUS), "--format", "parquet", *own]) == 0
    text = Path("exported/mine/README.md").read_text()
    assert "license: apache-2.0" in text and "# Mine\n\n<script>x</script>\n\n## How to load it" in text
    about = mlcroissant.Dataset("exported/mine/croissant.json").metadata
    assert (about.name, about.license) == ("Mine", ["apache-2.0"])
    assert len(loaded(Path("exported/mine"))["train"]) == ROWS // 2


def test_memory_does_not_grow_with_the_rows(run: Config) -> None:
    alive = most = 0

    class Counted(dict[str, Any]):
        def __init__(self, *arguments: Any) -> None:
            nonlocal alive, most
            super().__init__(*arguments)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    row = next(data_set(run, "captions").rows())
    count = 20_000
    many = data_set(run, "captions").__class__(
        "many", "captions", lambda: (Counted(row | {"image_path": f"coco/{n}.jpg"}) for n in range(count)), ()
    )
    export_data_set(many, Path("exported/many"), Settings("parquet", Splits(0, {})), given_card("# Many"))
    assert datasets.load_dataset("exported/many", split="train").num_rows == count
    assert most < count / 4
