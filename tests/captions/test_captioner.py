"""The captioner: one instruction, shards that continue after a kill, the gate, and a folder with broken photographs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from conftest import PROJECT
from sharegpt4v.captions import captioning
from sharegpt4v.captions.captioning import GenerationSettings
from sharegpt4v.captions.folder import Summary, caption_folder
from sharegpt4v.captions.forecast import forecast
from sharegpt4v.captions.inputs import find_images
from sharegpt4v.captions.rows import captioner_rows, read_instruction
from sharegpt4v.captions.shards import caption_shard, images_of
from sharegpt4v.cli import main
from sharegpt4v.config.generation import Generation
from sharegpt4v.config.quality import Quality
from sharegpt4v.config.sources import Sources
from sharegpt4v.corpora.verdicts import record_of, verdict_key
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl, sha256_of, write_json
from sharegpt4v.generation.engine import Request
from sharegpt4v.generation.local import Generator
from sharegpt4v.images.manifest import write_manifest
from sharegpt4v.ledger import Ledger
from sharegpt4v.models.pixels import Squares
from sharegpt4v.training.batch_images import BatchImages
from tiny_llava import write_llava, write_pictures

INSTRUCTION = PROJECT / "config/prompts/captioner.txt"
SETTINGS = GenerationSettings("What is it?", 12, Generation(batch_size=8))
ANYTHING = Quality(shortest_characters=1, loops=1000, most_copies=1000, largest_rejected_fraction=1)
CHILD = """
import sys
from pathlib import Path
from sharegpt4v.captions.captioning import GenerationSettings
from sharegpt4v.config.generation import Generation
from sharegpt4v.captions.shards import caption_shard
from sharegpt4v.config.quality import Quality
from sharegpt4v.config.sources import Sources
model, data, out, work = map(Path, sys.argv[1:])
images = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.jpg"))
quality = Quality(shortest_characters=1, loops=1000, most_copies=1000, largest_rejected_fraction=1)
caption_shard(model, images, data, out, GenerationSettings("What is it?", 40, Generation(batch_size=2)), work, quality)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Path]:
    folder = tmp_path_factory.mktemp("captioner")
    images = list(write_pictures(folder / "data", 30)) + list(write_pictures(folder / "data", 10, "sam"))
    return write_llava(folder), images, folder / "data"


def test_one_instruction_stands_before_every_seed_caption(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A red circle."}]
    write_json(tmp_path / "seed.json", [{"id": "9", "image": "coco/9.jpg", "conversations": turns}])
    instruction = read_instruction(INSTRUCTION)
    assert instruction == "Analyze the image in a comprehensive and detailed manner."
    (row,) = captioner_rows(tmp_path / "seed.json", instruction)
    assert (row["id"], row["image"]) == ("9", "coco/9.jpg")
    assert row["conversations"] == [{"from": "human", "value": f"<image>\n{instruction}"}, turns[1]]
    write_json(tmp_path / "seed.json", [{"image": "coco/9.jpg", "conversations": turns[:1]}])
    with pytest.raises(UserError, match=r"seed\.json, row 1: expected"):
        captioner_rows(tmp_path / "seed.json", instruction)


def test_shards_hold_every_image_once() -> None:
    images = [f"{n}.jpg" for n in range(23)]
    for count in (1, 2, 7, 23, 30):
        shards = [images_of(number, count, images) for number in range(count)]
        assert [image for shard in shards for image in shard] == images
        assert {len(shard) for shard in shards} <= {23 // count, 23 // count + 1}


def test_shard_has_a_row_per_image_and_asks_nothing_twice(world: tuple[Path, list[str], Path], tmp_path: Path) -> None:
    model, images, data = world
    counts = caption_shard(model, images, data, tmp_path / "0.jsonl", SETTINGS, tmp_path / "work", ANYTHING)
    rows = list(read_jsonl(tmp_path / "0.jsonl"))
    assert [row["image"] for row in rows] == images and counts.get("accepted", 0) + counts.get("cut off", 0) > 30
    assert rows[0]["sha256"] == sha256_of(data / images[0])
    assert all((row["status"] == "accepted") == (row["reason"] is None) for row in rows)
    assert {row["reason"] for row in rows} >= {"cut off"}  # twelve tokens are few
    ledger = (tmp_path / "work/0.jsonl").read_bytes()
    before = (tmp_path / "0.jsonl").read_bytes()
    caption_shard(model, images, data, tmp_path / "0.jsonl", SETTINGS, tmp_path / "work", ANYTHING)
    assert (tmp_path / "work/0.jsonl").read_bytes() == ledger and (tmp_path / "0.jsonl").read_bytes() == before


def test_what_people_say_of_captions_changes_a_shard_and_captions_nothing(
    world: tuple[Path, list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images, data = world
    caption_shard(model, images, data, tmp_path / "0.jsonl", SETTINGS, tmp_path / "work", ANYTHING)
    rows = list(read_jsonl(tmp_path / "0.jsonl"))
    accepted = next(row for row in rows if row["status"] == "accepted" and row["caption"].strip())
    rejected = next(row for row in rows if row["reason"] == "cut off")
    with Ledger(tmp_path / "reviewed.jsonl") as ledger:
        for row, verdict in ((accepted, "rejected"), (rejected, "accepted")):
            said = row["image"], row["caption"]
            ledger.append(verdict_key(*said), record_of(*said, verdict, None))
    monkeypatch.delattr(captioning, "open_engine")  # nothing asks a model
    quality = ANYTHING.model_copy(update={"reviewed": tmp_path / "reviewed.jsonl"})
    caption_shard(model, images, data, tmp_path / "0.jsonl", SETTINGS, tmp_path / "work", quality)
    changed = {accepted["image"]: ("rejected", "reviewed"), rejected["image"]: ("accepted", None)}
    assert list(read_jsonl(tmp_path / "0.jsonl")) == [
        row | dict(zip(("status", "reason"), changed.get(row["image"], (row["status"], row["reason"])), strict=True))
        for row in rows
    ]


def test_too_many_rejected_captions_fail_the_shard_and_keep_its_work(
    world: tuple[Path, list[str], Path], tmp_path: Path
) -> None:
    model, images, data = world
    with pytest.raises(UserError, match=r"captions 3: .* of 40 images have no usable caption .*the limit is 5\.0%"):
        caption_shard(model, images, data, tmp_path / "3.jsonl", SETTINGS, tmp_path / "work", Quality())
    assert not (tmp_path / "3.jsonl").exists()
    assert len((tmp_path / "work/3.jsonl").read_text().splitlines()) == 30  # the sam pictures are ten of the same
    assert all(row["reason"] for row in read_jsonl(tmp_path / "work/3.rejected.jsonl"))


def test_missing_and_broken_images_are_rejected_with_their_reason(
    world: tuple[Path, list[str], Path], tmp_path: Path
) -> None:
    model, images, data = world
    broken = data / "coco/zzz.jpg"
    broken.write_bytes((data / images[0]).read_bytes()[:400])
    try:
        names = [images[0], "coco/gone.jpg", "coco/zzz.jpg"]
        caption_shard(model, names, data, tmp_path / "0.jsonl", SETTINGS, tmp_path / "work", ANYTHING)
    finally:
        broken.unlink()
    good, gone, cut = read_jsonl(tmp_path / "0.jsonl")
    assert good["caption"] and gone["status"] == cut["status"] == "rejected"
    assert "missing" in gone["reason"] and "cannot be decoded" in cut["reason"]


def test_killed_shard_continues_and_asks_nothing_twice(world: tuple[Path, list[str], Path], tmp_path: Path) -> None:
    model, _, data = world
    command = [sys.executable, "-c", CHILD, model, data, tmp_path / "cut/0.jsonl", tmp_path / "cut/work"]

    def run() -> subprocess.Popen[bytes]:
        return subprocess.Popen(list(map(str, command)), env=os.environ | {"OMP_NUM_THREADS": "1"})

    cut, ledger = run(), tmp_path / "cut/work/0.jsonl"
    while not ledger.exists() or len(ledger.read_bytes().splitlines()) < 2:
        assert cut.poll() is None, "ended too soon"
        time.sleep(0.002)
    cut.send_signal(signal.SIGKILL)
    cut.wait()
    done = ledger.read_bytes()
    assert not (tmp_path / "cut/0.jsonl").exists()
    again = run()
    images = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.jpg"))
    settings = GenerationSettings("What is it?", 40, Generation(batch_size=2))
    caption_shard(model, images, data, tmp_path / "whole/0.jsonl", settings, tmp_path / "whole/work", ANYTHING)
    assert again.wait() == 0
    complete = done[: done.rfind(b"\n") + 1]
    keys = [row["key"] for row in read_jsonl(ledger)]
    assert ledger.read_bytes().startswith(complete) and len(keys) == len(set(keys)) > len(complete.splitlines())
    assert (tmp_path / "cut/0.jsonl").read_bytes() == (tmp_path / "whole/0.jsonl").read_bytes()


def described(model: Path, images: Path, out: Path) -> Summary:
    """What `s4v caption` does, with its work beside `out`."""
    found = find_images(images, out.parent / "unpacked", Sources())
    return caption_folder(model, found, out, SETTINGS, ANYTHING, out.parent / "work")


def test_folder_of_photographs(
    world: tuple[Path, list[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, images, data = world
    photos = tmp_path / "photos"
    (photos / "holiday").mkdir(parents=True)
    (photos / "a.JPG").write_bytes((data / images[0]).read_bytes())
    (photos / "holiday/b ü.png").write_bytes((data / images[1]).read_bytes())
    (photos / "holiday/cut.jpg").write_bytes((data / images[2]).read_bytes()[:400])
    (photos / "notes.txt").write_text("no image")
    summary = described(model, photos, tmp_path / "out.jsonl")
    assert sum(summary.verdicts.values()) == 2 and summary.errors == 1
    rows = list(read_jsonl(tmp_path / "out.jsonl"))
    assert [row["image"] for row in rows] == ["a.JPG", "holiday/b ü.png", "holiday/cut.jpg"]
    assert rows[0]["caption"] and rows[1]["caption"] and "cannot be decoded" in rows[2]["error"]
    assert re.fullmatch(r"llava-[0-9a-f]{12}", rows[0]["model"]) and rows[0]["verdict"] in ("accepted", "cut off")
    assert "holiday/cut.jpg" in capsys.readouterr().err
    found = find_images(photos, tmp_path / "unpacked", Sources())
    expected = forecast(model, found, SETTINGS, tmp_path / "work", None)
    assert (expected.images, expected.captioned, expected.asked, expected.completion_tokens) == (3, 3, 0, 0)
    assert main(["caption", "--model", str(model), "--images", str(photos), "--out", "x.jsonl", "--dry-run"]) == 0
    assert "3 to ask about" in (said := capsys.readouterr().out) and "at most 0.00 USD" in said
    with pytest.raises(UserError, match="no images in it"):
        described(model, tmp_path / "work", tmp_path / "out.jsonl")
    described(model, photos / "a.JPG", tmp_path / "one.jsonl")
    assert list(read_jsonl(tmp_path / "one.jsonl")) == rows[:1]
    with pytest.raises(UserError, match="no such file or folder"):
        described(model, tmp_path / "gone", tmp_path / "out.jsonl")


def test_two_captions_in_one_folder_give_what_one_after_the_other_gives(
    world: tuple[Path, list[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, images, data = world
    preset, commands = tmp_path / "short.yaml", []
    preset.write_text(f"base: {PROJECT / 'config/config.yaml'}\ncaptions: {{max_new_tokens: 12}}\n")
    for name, chosen in (("first", images[:12]), ("second", images[8:20])):
        (tmp_path / name).mkdir()
        for image in chosen:
            (tmp_path / name / Path(image).name).write_bytes((data / image).read_bytes())
        options = {"--model": model, "--images": tmp_path / name, "--out": f"{name}.jsonl", "--config": preset}
        commands.append(["caption", *(str(one) for option in options.items() for one in option)])
    (tmp_path / "alone").mkdir()
    monkeypatch.chdir(tmp_path / "alone")
    assert [main(command) for command in commands] == [0, 0]

    # The second one is told who writes, and writes nothing.
    (ledger,) = (tmp_path / "alone").rglob("captions.jsonl")
    before = (tmp_path / "alone/second.jsonl").read_bytes()
    capsys.readouterr()
    with Ledger(ledger):
        assert main(commands[1]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert f"captions.jsonl: process {os.getpid()} on " in told and "is writing it; wait until that has ended" in told
    assert (tmp_path / "alone/second.jsonl").read_bytes() == before

    # Two at a time, each again until it may.
    (tmp_path / "together").mkdir()
    insist = "import sys, time; from sharegpt4v.cli import main\nwhile main(sys.argv[1:]): time.sleep(0.1)"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", insist, *command],
            cwd=tmp_path / "together",
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for command in commands
    ]
    assert [child.wait(timeout=300) for child in children] == [0, 0]
    (ledger,) = (tmp_path / "together").rglob("captions.jsonl")
    keys = [row["key"] for row in read_jsonl(ledger)]
    assert len(keys) == len(set(keys)) == 20
    for name in ("first.jsonl", "second.jsonl"):
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_photographs_are_turned_upright_and_images_of_a_source_are_read_as_stored(
    world: tuple[Path, list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cameras store a photograph sideways and say so in its EXIF data."""
    model, images, data = world
    seen = Image.open(data / images[0]).convert("RGB").crop((0, 0, 48, 30))
    stored, exif = seen.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6  # turn it to the right
    photos = tmp_path / "photos"
    photos.mkdir()
    stored.save(photos / "camera.png", exif=exif)
    seen.save(photos / "upright.png")
    stored.save(photos / "sideways.png")
    monkeypatch.chdir(tmp_path)

    def captions(images: Path, *options: str) -> dict[str, str]:
        out = tmp_path / "out.jsonl"
        assert main(["caption", "--model", str(model), "--images", str(images), "--out", str(out), *options]) == 0
        return {Path(row["image"]).name: row["caption"] for row in read_jsonl(out)}

    found = captions(photos)
    assert found["camera.png"] == found["upright.png"] != found["sideways.png"]
    preset = tmp_path / "mine.yaml"
    base = PROJECT / "config/config.yaml"
    preset.write_text(f"base: {base}\ncaptions: {{upright_photographs: false}}\n")
    for options in (["--no-upright"], ["--config", str(preset)]):
        assert captions(photos, *options)["camera.png"] == found["sideways.png"]
    assert captions(photos, "--config", str(preset), "--upright") == found

    # A shard of the corpus, and the same source by its manifest.
    work = tmp_path / "work"
    caption_shard(model, ["photos/camera.png"], tmp_path, tmp_path / "0.jsonl", SETTINGS, work, ANYTHING)
    (row,) = read_jsonl(tmp_path / "0.jsonl")
    caption_shard(model, ["photos/sideways.png"], tmp_path, tmp_path / "1.jsonl", SETTINGS, work, ANYTHING)
    assert row["caption"] == next(iter(read_jsonl(tmp_path / "1.jsonl")))["caption"]
    about: Any = {
        "source": "photos",
        "archive": "",
        "sha256": 64 * "0",
        "bytes": 0,
        "width": 0,
        "height": 0,
        "mode": "",
    }
    about |= {"format": "", "status": "ok", "note": "", "licence": ""}
    write_manifest(tmp_path / "manifests/photos.parquet", [about | {"path": "photos/camera.png"}])
    assert captions(tmp_path / "manifests/photos.parquet")["camera.png"] == found["sideways.png"]


def test_training_and_answers_too_see_the_pixels_as_they_are_stored(
    world: tuple[Path, list[str], Path], tmp_path: Path
) -> None:
    model, images, data = world
    exif = Image.Exif()
    exif[0x0112] = 8
    picture = Image.open(data / images[1]).convert("RGB")
    picture.save(tmp_path / "camera.png", exif=exif)
    picture.save(tmp_path / "plain.png")
    files = [tmp_path / "camera.png", tmp_path / "plain.png"]
    inputs = BatchImages(2, Squares(24, "pad"))(files).pixels
    assert inputs is not None
    pixels = inputs["pixel_values"]
    assert torch.equal(pixels[0], pixels[1])
    answers = dict(Generator(model, 2).answer([Request("What?", file, 12) for file in files]))
    assert answers[0] == answers[1]


def test_manifest_of_a_source(world: tuple[Path, list[str], Path], tmp_path: Path) -> None:
    from sharegpt4v.images.findings import write_findings

    model, images, data = world
    row: Any = {
        "source": "coco", "archive": "", "sha256": 64 * "0", "bytes": 0, "width": 0, "height": 0, "mode": "",
        "format": "", "note": "", "licence": "",
    }  # fmt: skip
    (tmp_path / "coco").symlink_to(data / "coco")
    manifest = tmp_path / "manifests/coco.parquet"
    manifest.parent.mkdir()
    rows = [row | {"path": images[0], "status": "ok"}]
    rows += [row | {"path": "coco/999.jpg", "status": "missing"}]
    write_manifest(manifest, rows)
    write_findings(manifest, {"coco/999.jpg": "not in the archive"})
    assert described(model, manifest, tmp_path / "out.jsonl").errors == 1
    found, missing = read_jsonl(tmp_path / "out.jsonl")
    assert found["image"] == images[0] and found["caption"]
    assert missing == {"image": "coco/999.jpg", "error": "missing: not in the archive"}
