"""`s4v pack`: what is in the shards, that they are the same each time, and that captions of them are the originals'."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from sharegpt4v.captions import packing
from sharegpt4v.captions.packing import Packing, find_images, pack
from sharegpt4v.cli import main
from sharegpt4v.config.generation import Generation
from sharegpt4v.generation.engine import Request, open_engine
from sharegpt4v.images.loading import open_rgb
from sharegpt4v.models.pixels import to_square
from tiny_llava import SIZE, write_llava, write_pictures


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "data", 7)
    return tmp_path / "data"


def members(shard: Path) -> dict[str, bytes]:
    with tarfile.open(shard) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


@pytest.mark.parametrize("aspect", ["square", "pad"])
def test_captions_of_packed_images_are_those_of_the_originals(data: Path, tmp_path: Path, aspect: str) -> None:
    model, images = write_llava(tmp_path, aspect), find_images(data)
    assert pack(images, tmp_path / "packed", Packing(SIZE, aspect, 3), workers=1) == (7, 0)
    packed: dict[str, bytes] = {}
    for shard in sorted((tmp_path / "packed").glob("*.tar")):
        packed |= {name: content for name, content in members(shard).items() if name.endswith(".webp")}
    originals = [Request("What is in the image?", file, 12, aspect) for file in images.values()]
    again = [Request("What is in the image?", content, 12, aspect) for content in packed.values()]
    with open_engine(model, Generation(), tmp_path / "engine") as engine:
        answers, packed_answers = dict(engine.answer(originals)), dict(engine.answer(again))
    assert packed_answers == answers and len({answer.text for answer in answers.values()}) > 1


def test_what_a_shard_holds(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pixels as the model sees them, the original's path and hash; keys without dots, each of its own."""
    for name in ("coco/001.png", "coco/v1.5.jpg"):
        (data / name).write_bytes((data / "coco/001.jpg").read_bytes())
    (data / "coco/broken.jpg").write_bytes(b"\xff\xd8\xff none")
    command = ["pack", "--images", str(data), "--out", str(tmp_path / "out"), "--size", "32", "--aspect", "pad"]
    assert main([*command, "--per-shard", "4", "--workers", "2"]) == 0
    assert capsys.readouterr().err.endswith(f"9 images in {tmp_path}/out, 1 that cannot be decoded\n")
    shards = sorted((tmp_path / "out").glob("*.tar"))
    assert [shard.name for shard in shards] == ["00000.tar", "00001.tar", "00002.tar"]
    found: dict[str, bytes] = {}
    for shard in shards:
        found |= members(shard)
    assert {"coco/000.webp", "coco/001%2Ejpg.webp", "coco/001%2Epng.json", "coco/v1%2E5.json"} <= found.keys()
    assert len(found) == 18 and not any("broken" in name for name in found)
    for name, content in found.items():
        if name.endswith(".json"):
            about, original = json.loads(content), data / json.loads(content)["path"]
            assert about["sha256"] == hashlib.sha256(original.read_bytes()).hexdigest()
            packed = open_rgb(found[name.replace(".json", ".webp")])
            assert packed.size == (32, 32)
            assert packed.tobytes() == to_square(open_rgb(original), 32, "pad").tobytes()
    (error,) = (tmp_path / "out" / "00002.errors.jsonl").read_text().splitlines() or [""]
    assert json.loads(error)["path"] == "coco/broken.jpg"


def test_packing_resumes_and_gives_the_same_bytes(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, how = find_images(data), Packing(16, "square", 3)
    pack(images, tmp_path / "once", how, 1)
    encode, calls = packing.webp, list[Image.Image]()

    def stopped(image: Image.Image) -> bytes:
        calls.append(image)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return encode(image)

    monkeypatch.setattr(packing, "webp", stopped)
    with pytest.raises(KeyboardInterrupt):
        pack(images, tmp_path / "twice", how, 1)
    assert (tmp_path / "twice/00000.tar").exists() and not (tmp_path / "twice/00001.tar").exists()
    pack(images, tmp_path / "twice", how, 1)
    pack(images, tmp_path / "twice", how, 1)  # nothing is left to do
    assert len(calls) == 7 + 2  # two of the second shard were lost
    names = sorted(file.name for file in (tmp_path / "once").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "twice").iterdir())
    assert all((tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes() for name in names)


def test_what_cannot_be_packed_is_said_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pack", "--images", str(data), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main([*command, "--size", "16"]) == 0
    cases = [
        ([*command, "--size", "24"], "holds shards of other images, or packed otherwise; expected a new folder"),
        ([*command, "--size", "0"], "--size: 0; expected a number from 1"),
        (["pack", "--images", str(tmp_path / "out"), "--out", "x"], f"{tmp_path}/out: no images in it"),
    ]
    for arguments, message in cases:
        capsys.readouterr()
        assert main(arguments) == 1
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1


def test_a_packed_image_goes_to_vllm_as_it_is(data: Path, tmp_path: Path) -> None:
    """Of a square of the right size no pixel changes, so it is not decoded on the way; of all others the square is."""
    from types import SimpleNamespace

    from sharegpt4v.generation.vllm import VllmEngine
    from sharegpt4v.models.pixels import Squares

    engine = SimpleNamespace(_prepare={"pad": Squares(24, "pad").prepare})
    original = next(iter(find_images(data).values()))
    square = to_square(open_rgb(original), 24, "pad")
    large, jpeg = io.BytesIO(), io.BytesIO()
    square.resize((30, 30)).save(large, "PNG")
    square.save(jpeg, "JPEG")  # whose pixels depend on who decodes it
    for content in (packing.webp(square), original.read_bytes(), large.getvalue(), jpeg.getvalue()):
        for upright in (False, True):
            seen = VllmEngine._seen(engine, Request("?", content, 9, "pad", upright))  # type: ignore[arg-type]
            assert isinstance(seen, bytes) == (content == packing.webp(square))
            pixels = open_rgb(seen) if isinstance(seen, bytes) else seen
            assert pixels.tobytes() == to_square(open_rgb(content), 24, "pad").tobytes()
