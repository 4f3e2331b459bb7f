"""The table of image sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import PROJECT
from sharegpt4v.catalogues.sources import COLUMNS, Download, read_catalogue, resolve
from sharegpt4v.errors import UserError


def catalogue(tmp_path: Path, **cells: str) -> Path:
    row = {"name": "coco", "kind": "zip", "folder": "coco/train2017", "address": "mini:a.zip", "licence": "CC"} | cells
    path = tmp_path / "sources.tsv"
    path.write_text("# a comment\n" + "\t".join(COLUMNS) + "\n" + "\t".join(row.get(name, "") for name in COLUMNS))
    return path


def test_the_catalogue_of_the_mini_world_lays_out_the_folders_of_the_paper() -> None:
    sources = read_catalogue(PROJECT / "config/sources.mini.tsv")
    folders = {name: one.folder for name, one in sources.items() if one.images != 0}
    assert folders == {
        "coco": "coco/train2017",
        "llava": "llava/llava_pretrain/images",
        "sam": "sam/images",
        "wikiart": "wikiart/images",
        "share_textvqa": "share_textvqa/images",
        "web-celebrity": "web-celebrity/images",
        "web-landmark": "web-landmark/images",
        "gqa": "gqa/images",
        "ocr_vqa": "ocr_vqa/images",
        "textvqa": "textvqa/train_images",
        "vg": "vg",
    }
    assert [download.file_name for download in sources["sam"].downloads] == ["sa_000000.tar", "sa_000001.tar"]


def test_sizes_and_hashes_go_with_their_addresses(tmp_path: Path) -> None:
    path = catalogue(tmp_path, address="https://h/a.tar?x=1 /disk/b.tar", bytes="5 6", sha256=f"{'A' * 64} {'b' * 64}")
    first, second = read_catalogue(path)["coco"].downloads
    assert first == Download("https://h/a.tar?x=1", 5, "a" * 64) and first.file_name == "a.tar"
    assert second == Download("/disk/b.tar", 6, "b" * 64)


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ({"kind": "rar"}, "line 3: kind 'rar'; expected one of coco-rows, drive, file"),
        ({"folder": "../elsewhere"}, "line 3: folder '../elsewhere'; expected a path below data/"),
        ({"images": "many"}, "line 3: images is 'many'; expected a whole number"),
        ({"address": "a b", "bytes": "1"}, "line 3: 1 values of bytes for 2 addresses"),
        ({"address": "mini:a/i.zip mini:b/i.zip"}, "line 3: two addresses end in the same file name"),
        ({"sha256": "abc"}, "line 3: sha256 is 'abc'; expected 64 hexadecimal digits"),
        ({"licence": ""}, "line 3: the licence is empty"),
        ({"about": "a\tb"}, "line 3: 12 columns, expected 11"),
    ],
)
def test_a_mistake_in_the_catalogue_is_named_with_its_line(
    tmp_path: Path, cells: dict[str, str], complaint: str
) -> None:
    with pytest.raises(UserError, match=rf"sources\.tsv, {complaint}"):
        read_catalogue(catalogue(tmp_path, **cells))


def test_only_mini_addresses_are_rewritten() -> None:
    assert resolve("mini:coco/a.zip", "http://127.0.0.1:1/") == "http://127.0.0.1:1/coco/a.zip"
    assert resolve("https://h/a.zip", "http://127.0.0.1:1") == "https://h/a.zip"
    with pytest.raises(UserError, match="not being served"):
        resolve("mini:coco/a.zip")
