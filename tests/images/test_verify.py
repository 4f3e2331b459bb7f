"""`s4v verify` and `s4v where`: what is there of the images that the corpora name, per source and per archive."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from conftest import PROJECT, copy_of
from image_files import encoded, odd_images, picture, source, write_tar
from sharegpt4v import layout
from sharegpt4v.catalogues.sources import Download, Source
from sharegpt4v.cli import main
from sharegpt4v.config.sources import Policy, Sources
from sharegpt4v.errors import UserError
from sharegpt4v.images.findings import findings_path, read_bad
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.images.usable import Usable
from sharegpt4v.images.verify import lines, verify


def corpus(path: Path, images: list[str]) -> Path:
    """A LLaVA JSON whose rows name these images, and a row of text."""
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This."}]
    rows = [{"id": image, "image": image, "conversations": turns} for image in images]
    path.write_text(json.dumps([*rows, {"id": "text", "conversations": turns}]))
    return path


def table(counts: object) -> list[list[str]]:
    return [line.split() for line in lines(counts)]  # type: ignore[arg-type]


def test_what_is_found_missing_and_corrupt_is_told_per_source_and_per_tar(tmp_path: Path) -> None:
    tars = [tmp_path / f"sa_00000{number}.tar" for number in range(2)]
    write_tar(tars[0], {f"sa_{number}.jpg": picture(number, "JPEG") for number in (1, 2, 3)})
    write_tar(tars[1], {"sa_4.jpg": picture(4, "JPEG"), "sa_5.jpg": picture(5, "JPEG")[:50]})
    sam = Source("sam", "tar", "sam/images", tuple(Download(str(tar)) for tar in tars), licence="Meta's")
    coco = Source("coco", "zip", "coco/train2017", (Download("mini:train2017.zip"),), licence="Flickr's")
    data, work, out = tmp_path / "data", tmp_path / "work", tmp_path / "missing.csv"
    fetch_source(sam, data, work, Sources(workers=1, largest_bad_fraction=0.5))
    (data / "sam/images/sa_2.jpg").unlink()
    (data / "sam/images/sa_3.jpg").write_bytes(b"another")
    (data / "coco/train2017").mkdir(parents=True)
    (data / "coco/train2017/7.jpg").write_bytes(picture())
    named = [f"sam/images/sa_{number}.jpg" for number in (1, 2, 3, 4, 5, 6, 1)]
    files = [corpus(tmp_path / "a.json", [*named, "coco/train2017/7.jpg"]),
             corpus(tmp_path / "b.json", [named[0], "coco/train2017/8.jpg", "vg/VG_100K/1.jpg"])]  # fmt: skip
    counts = verify(files, {"sam": sam, "coco": coco}, data, work, out)
    assert table(counts) == [
        ["found", "missing", "corrupt"],
        ["sam", "2", "2", "2"],
        ["sa_000000.tar", "1", "1", "1"],
        ["sa_000001.tar", "1", "0", "1"],
        ["of", "no", "known", "archive", "0", "1", "0"],
        ["coco", "1", "1", "0"],
        ["train2017.zip", "0", "0", "0"],
        ["of", "no", "known", "archive", "1", "1", "0"],
        ["(no", "source)", "0", "1", "0"],
    ]
    listed = {row["path"]: row for row in csv.DictReader(out.open())}
    assert {path: row["state"] for path, row in listed.items()} == {
        "sam/images/sa_2.jpg": "missing", "sam/images/sa_3.jpg": "corrupt", "sam/images/sa_5.jpg": "corrupt",
        "sam/images/sa_6.jpg": "missing", "coco/train2017/8.jpg": "missing", "vg/VG_100K/1.jpg": "missing",
    }  # fmt: skip
    assert listed["sam/images/sa_3.jpg"]["why"] == f"7 bytes, {len(picture(3, 'JPEG'))} when it was checked"
    assert "not an image" in listed["sam/images/sa_5.jpg"]["why"] or "runcated" in listed["sam/images/sa_5.jpg"]["why"]
    assert listed["sam/images/sa_6.jpg"]["why"] == "not among what the source brought"
    assert listed["coco/train2017/8.jpg"]["why"] == "its source was not fetched yet"
    # While a source is not wholly fetched, what was unpacked so far says which tar an image was in.
    (data / "manifests/sam.parquet").unlink()
    assert ["sa_000000.tar", "2", "1", "0"] in table(verify(files, {"sam": sam}, data, work, out))


def test_a_finished_run_is_verified_and_a_lost_image_is_told(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy_of(smoke, tmp_path / "run"))
    config = ["--config", str(PROJECT / "config/smoke.yaml")]
    assert main(["verify", *config]) == 0
    told = capsys.readouterr().out
    assert "sa_000001.tar" in told and "share-captioner_coco_lcs_sam_1246k_1107.json" in told
    image = json.loads(layout.PRETRAINING_CORPUS.read_text())[0]["image"]
    (layout.DATA / image).unlink()
    assert main(["verify", *config]) == 1
    assert "1 are missing or corrupt; each with the reason in results/missing.csv" in capsys.readouterr().out
    assert image in Path("results/missing.csv").read_text()
    assert main(["where", "coco", *config]) == 0
    told, counted = capsys.readouterr().out, read_manifest(Path("data/manifests/coco.parquet"))
    for line in ("licence    drawn by this project", f"found      {len(list(counted))} ok, 0 broken, 0 missing",
                 "folder     data/coco/train2017", "address    mini:coco/train2017.zip"):  # fmt: skip
        assert line in told, told


def test_nothing_to_verify_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["verify"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("none of data/sharegpt4v/sharegpt4v_instruct") and "is there; fetch or make one" in line


def test_where_tells_of_a_source_before_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = ["--config", str(PROJECT / "config/paper-7b.yaml")]
    assert main(["where", "sam", *config]) == main(["where", "sam-9k", *config]) == 0
    told = capsys.readouterr().out
    for text in ("research only", "accept Meta's terms", "570,486 images", "not fetched yet", "data/sam/images",
                 "sa_000000.tar", "... 49 more ...", "sa_000050.tar", "sam-9k (drive, not used by",
                 "to do      accept Meta's terms for SA-1B"):  # fmt: skip
        assert text in told
    assert main(["where", "samm"]) == 1
    assert capsys.readouterr().err.startswith("source 'samm' is not known; expected one of coco, llava")


# The list of findings


def test_what_is_broken_repaired_or_there_twice_is_listed_for_a_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data/coco/train2017"
    expected = odd_images(folder)
    (folder / "a copy.png").write_bytes(picture())
    (folder / "z copy.png").write_bytes(picture())
    (folder / "other.png").write_bytes(encoded(Image.new("RGB", (3, 3))))
    settings = Sources(workers=1, missing="report")
    manifest = fetch_source(source("placed", "here"), tmp_path / "data", tmp_path / "work", settings)
    rows = [
        (Path(row["path"]).name, row["finding"], row["why"]) for row in csv.DictReader(findings_path(manifest).open())
    ]
    assert [name for name, _, _ in rows] == sorted(name for name, _, _ in rows)
    findings = {name: (finding, why) for name, finding, why in rows}
    for name, (status, says) in expected.items():
        finding = "broken" if status == "broken" else "repaired" if says else ""
        if finding:
            assert findings[name][0] == finding and says in findings[name][1]
    assert "other.png" not in findings and "a copy.png" not in findings
    same = ("duplicate", "same content as coco/train2017/a copy.png")
    assert findings["plain.png"] == findings["z copy.png"] == same
    assert "coco: 12 ok, 5 broken, 0 missing, 8 repaired, 2 duplicate; see" in capsys.readouterr().err


# What a training does without images


def test_rows_without_their_image_are_left_out_as_far_as_the_config_allows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sharegpt4v.training.rows import read_rows

    data = tmp_path / "data"
    odd_images(data / "coco/train2017")
    fetch_source(source("placed", "here"), data, tmp_path / "work", Sources(workers=1, missing="report"))
    named = [f"coco/train2017/{name}" for name in ("plain.png", "grey.jpg", "turned.jpg", "cut.jpg", "gone.jpg")]
    rows = json.loads(corpus(tmp_path / "rows.json", named).read_text())

    def read(missing: Policy, largest: float = 0.0) -> list[str]:
        usable = Usable(data, dict(read_bad(data / "manifests/coco.parquet")), missing, largest)
        return [row["id"] for _, row in read_rows(rows, data, "finetuning", usable)]

    kept = [*named[:3], "text"]
    assert read("drop", 0.4) == read("report") == kept
    assert (
        "finetuning: 2 of 6 rows name an image that is missing or broken, and are left out" in capsys.readouterr().err
    )
    with pytest.raises(UserError, match=r"2 of 6 rows .* more than the allowed 30\.0%; `s4v verify` lists them"):
        read("drop", 0.3)
    with pytest.raises(UserError, match=r"row 4 \(id coco/.*cut\.jpg\): image .*cut\.jpg cannot be used \("):
        read("fail")
    (data / "coco/train2017/cut.jpg").write_bytes(picture())
    fetch_source(source("placed", "here"), data, tmp_path / "work", Sources(workers=1, missing="report"))
    with pytest.raises(UserError, match=r"row 5 \(id coco/.*gone\.jpg\): no image .*; expected a file there"):
        read("fail")
