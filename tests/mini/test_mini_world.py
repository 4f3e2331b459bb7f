"""The synthetic world: the same bytes for a seed, whole sources, annotation files."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mini_world import IMAGES, QUESTIONS, SOURCES, data, world, write  # noqa: F401  (fixtures)
from sharegpt4v import layout
from sharegpt4v.errors import UserError
from sharegpt4v.images.kinds.urls import read_url_list
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.mini import world as world_module
from sharegpt4v.mini.evaluation import ONE_IN
from sharegpt4v.mini.scene import ART_STYLES, CELEBRITIES, LANDMARKS, WORDS

NAMES = (*CELEBRITIES, *LANDMARKS, *LANDMARKS.values(), *ART_STYLES, *ART_STYLES.values())
INSTRUCTIONS = ("llava_instruct_158k", "llava_v1_5_mix665k", "detail_23k", "blip_laion_cc_sbu_558k")


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(world: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((world / f"llava/{name}.json").read_bytes())
    return rows


def pixels_of(content: bytes) -> bytes:
    return Image.open(io.BytesIO(content)).convert("RGB").tobytes()


def test_the_same_world_is_the_same_bytes_and_another_seed_another_world(world: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again")
    assert bytes_of(again.parent) == bytes_of(world.parent)
    other = bytes_of(write(tmp_path / "other", seed=1))
    assert other.keys() == bytes_of(world).keys()
    same = {name for name, content in bytes_of(world).items() if other[name] == content}
    assert same == {"web/celebrity.tsv", "web/landmark.tsv"}


def test_more_pictures_of_a_source_keep_those_of_fewer(world: Path, tmp_path: Path) -> None:
    more = write(tmp_path, coco=45, gqa=1)
    with zipfile.ZipFile(world / "coco/train2017.zip") as few, zipfile.ZipFile(more / "coco/train2017.zip") as many:
        assert len(few.namelist()) == 40 and many.namelist()[:40] == few.namelist()
        assert all(few.read(name) == many.read(name) for name in few.namelist())


def test_a_world_is_there_when_it_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world_module, "write_benchmarks", dies)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path)
    assert not (tmp_path / "world").exists() and not (tmp_path / "scenes.jsonl").exists()
    (tmp_path / "world").mkdir()
    (tmp_path / "world/old").touch()
    assert (write(tmp_path) / "eval/eval.zip").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scenes.jsonl", "world"]
    assert not (tmp_path / "world/old").exists()


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        ({"cocoa": 3}, "images of 'cocoa' cannot be drawn"),
        ({"eval": 3}, "images of 'eval' cannot be drawn"),
        ({"coco": 3, "vg": 1}, "1 images of 'vg'; expected at least 2"),
        ({"gqa": 3}, "no images of coco are drawn; expected at least one"),
    ],
)
def test_an_impossible_order_is_refused(images: dict[str, int], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        write(tmp_path, **images)
    assert not (tmp_path / "world").exists()


def test_every_source_arrives_whole_in_its_folder(data: Path) -> None:
    for name, count in IMAGES.items():
        if SOURCES[name].kind != "urls":
            rows = list(read_manifest(layout.manifest(name, data)))
            assert Counter(row["status"] for row in rows) == {"ok": count} | ({"broken": 1} if name == "sam" else {})
            assert {row["width"] for row in rows if row["status"] == "ok"} == {96 if name == "sam" else 48}
            assert all((data / row["path"]).is_file() for row in rows)
    assert (data / "coco/train2017/000000000009.jpg").is_file()
    assert {path.name for path in (data / "vg").iterdir()} == {"VG_100K", "VG_100K_2"}
    folders = {path.relative_to(data / SOURCES["llava"].folder) for path in data.glob("llava/**/*.jpg")}
    assert all(path.stem.startswith(path.parent.name) and len(path.stem) == 9 for path in folders)


def test_url_lists_name_living_pictures_and_a_few_dead_ones(world: Path) -> None:
    for kind, living, dead in (("celebrity", 50, 1), ("landmark", 6, 0)):
        urls = read_url_list(world / f"web/{kind}.tsv", "http://127.0.0.1:1")
        found = [(world / url.removeprefix("http://127.0.0.1:1/")).is_file() for url in urls.values()]
        assert Counter(found) == Counter({True: living, False: dead})


def test_the_scenes_are_for_the_teacher_alone(world: Path, data: Path) -> None:
    scenes = [json.loads(line) for line in (world.parent / "scenes.jsonl").read_text().splitlines()]
    assert Counter(row["source"] for row in scenes) == Counter(IMAGES)
    assert not [name for name, content in bytes_of(world).items() if b'"things"' in content]
    hashes = {row["sha256"] for row in scenes}
    manifests = [read_manifest(layout.manifest(name, data)) for name in IMAGES if SOURCES[name].kind != "urls"]
    assert {row["sha256"] for rows in manifests for row in rows if row["status"] == "ok"} <= hashes


def test_no_picture_of_a_benchmark_is_a_training_picture(world: Path, data: Path) -> None:
    archives = {path: bytes_of(data / path) for path in ("coco", "llava", "sam", "wikiart", "gqa", "textvqa", "vg")}
    training = {content for files in archives.values() for name, content in files.items() if name.endswith(".jpg")}
    training |= {path.read_bytes() for path in (world / "web/files").iterdir()}
    evaluation = bytes_of(data / "eval")
    pictures = {name: one for name, one in evaluation.items() if one[:2] == b"\xff\xd8" or name.endswith("png")}
    # 10 + 4 subtasks of 11 and 2 pictures; one picture per question, in TextVQA two for three; the servers' test splits
    # Those of the benchmarks beyond the paper's are not counted.
    counted = [one for name, one in pictures.items() if not name.startswith(("pope/", "hallusion_bench/"))]
    tests = 2 * (QUESTIONS // 10) + QUESTIONS // 10
    assert len(counted) == 10 * 11 + 4 * 2 + 7 * QUESTIONS + QUESTIONS // ONE_IN["qbench"] + 30 + tests
    assert not {pixels_of(content) for content in pictures.values()} & {
        pixels_of(content) for content in training if not is_cut(content)
    }
    assert len({pixels_of(content) for content in pictures.values()}) == len(pictures)


def is_cut(content: bytes) -> bool:
    return not content.endswith(b"\xff\xd9")


def test_instruction_rows_have_their_numbers_and_their_images(world: Path, data: Path) -> None:
    sources = Counter(row.get("image", "none").split("/")[0] for row in rows_of(world, "llava_v1_5_mix665k"))
    assert sources == {"coco": 80, "gqa": 12, "ocr_vqa": 12, "textvqa": 12, "vg": 13, "none": 20}
    mix, instruct, detail = ([json.dumps(row) for row in rows_of(world, name)] for name in
                             ("llava_v1_5_mix665k", "llava_instruct_158k", "detail_23k"))  # fmt: skip
    assert len(instruct) == 80 and len(detail) == 30
    assert set(detail) <= set(instruct) <= set(mix) and mix[-30:] != detail
    for name in INSTRUCTIONS:
        root = data / SOURCES["llava"].folder if name.startswith("blip") else data
        for row in rows_of(world, name):
            turns = row["conversations"]
            assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2) and 2 <= len(turns) <= 12
            assert [turn["value"].count("<image>") for turn in turns] == ["image" in row] + [0] * (len(turns) - 1)
            assert "image" not in row or (root / row["image"]).is_file()


def test_names_stand_in_no_row_that_is_trained_on(world: Path) -> None:
    for name in INSTRUCTIONS:
        text = (world / f"llava/{name}.json").read_text()
        assert [known for known in NAMES if known in text] == []
    assert [known for known in NAMES if known in (world / "coco/captions_train2017.json").read_text()] == []


def test_a_text_source_asks_for_its_word_first(world: Path) -> None:
    rows = rows_of(world, "llava_v1_5_mix665k")
    first = [row["conversations"][0]["value"] for row in rows if "vqa" in row.get("image", "")]
    assert len(first) == 24 and all(any(word in text for word in ("word", *WORDS)) for text in first)
    assert sum("\nReference OCR token: " in text for text in first) == 12


def test_coco_captions_are_in_cocos_format(world: Path) -> None:
    captions = json.loads((world / "coco/captions_train2017.json").read_bytes())
    assert [image["id"] for image in captions["images"]] == [row["image_id"] for row in captions["annotations"]]
    assert captions["images"][1]["file_name"] == "000000000025.jpg" and captions["images"][1]["id"] == 25
    assert len({row["id"] for row in captions["annotations"]}) == 40
