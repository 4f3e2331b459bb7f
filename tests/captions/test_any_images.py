"""`s4v caption` for anyone: shards and data sets in, four formats out, verdicts, a budget, a dry run, a page."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from chats import counts
from conftest import PROJECT
from image_files import picture
from sharegpt4v.cli import main
from sharegpt4v.endpoint.request import prompt_hash
from sharegpt4v.files import read_jsonl
from sharegpt4v.mini.endpoint import serve
from sharegpt4v.mini.endpoint_faults import Fault

GOOD = "A red circle stands to the left of a tall blue square on a green ground; a small sign says {}."
Told = pytest.CaptureFixture[str]


def describe(image: bytes | None, prompt: str) -> str:
    """A caption that tells which image and prompt came over the wire; of two images one that must not be used."""
    texts = {picture(1): "I'm sorry, I can't help with that.", picture(2): "<script>alert(1)</script>"}
    digest = hashlib.sha256((image or b"") + prompt.encode()).hexdigest()[:20]
    return texts.get(image or b"", GOOD.format(digest))


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder whose `mine.yaml` has limits that the texts of these tests pass, or do not."""
    monkeypatch.chdir(folder)
    limits = "max_new_tokens: 500, quality: {shortest_characters: 60, most_copies: 3}"
    Path("mine.yaml").write_text(f"base: {PROJECT / 'config/config.yaml'}\ncaptions: {{{limits}}}\n")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    prepare(tmp_path, monkeypatch)
    with serve(describe, model="gpt-4o") as address:
        yield address


def caption(url: str, images: object, out: object, *options: object, model: str = "gpt-4o") -> int:
    asked = ["--base-url", url, "--model", model, "--images", images, "--out", out, *options]
    return main(["caption", "--config", "mine.yaml", *map(str, asked)])


def rows_of(url: str, images: object, *options: object) -> dict[str, dict[str, Any]]:
    assert caption(url, images, "out.jsonl", *options) == 0
    return {row["image"]: row for row in read_jsonl("out.jsonl")}


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def some_images(folder: Path) -> Path:
    """Images that are accepted, refused and too short, one that is damaged and one with markup in its name."""
    folder.mkdir()
    for number, name in enumerate(["a.png", "sub.d.png", "short.png", "<b>.png"]):
        (folder / name).write_bytes(picture(number))
    (folder / "cut.tiff").write_bytes(b"no image")
    return folder


def test_tar_shards_are_unpacked_once_and_damage_costs_what_it_hits(url: str, tmp_path: Path, capsys: Told) -> None:
    shards = tmp_path / "shards"
    members = {"0001.png": picture(7), "0001.json": b"{}", "in/0002.png": picture(8), "../../evil.png": picture(9)}
    write_tar(shards / "00000.tar", members)
    write_tar(shards / "00001.tar", {"0001.png": picture(10)})
    cut = write_tar(shards / "00002.tar", {"0003.png": picture(11), "0004.png": picture(12, "BMP", (90, 90))})
    cut.write_bytes(cut.read_bytes()[:4_000])
    rows = rows_of(url, shards)
    captioned = {"0001.png", "00001.tar/0001.png", "0003.png", "in/0002.png"}
    assert {name for name, row in rows.items() if "caption" in row} == captioned
    assert rows["00001.tar/0001.png"]["sha256"] == hashlib.sha256(picture(10)).hexdigest()
    (evil,) = [row["error"] for name, row in rows.items() if "evil" in name]
    assert "name with '..'" in evil and not list(tmp_path.parent.glob("**/evil.png"))
    assert "ends early or is damaged" in rows["00002.tar"]["error"] and len(rows) == 6
    assert "4 accepted, 2 errors" in capsys.readouterr().err

    (record,) = (tmp_path / ".work/sources").rglob("unpacked.json")
    before, asked = record.stat().st_mtime_ns, counts(url)["received"]
    assert rows_of(url, shards) == rows
    assert record.stat().st_mtime_ns == before and counts(url)["received"] == asked == 4
    # A file that is gone is unpacked again.
    next(record.parent.rglob("0003.png")).unlink()
    assert rows_of(url, shards) == rows and counts(url)["received"] == 4
    assert set(rows_of(url, shards / "00001.tar")) == {"0001.png"}
    assert list(rows_of(url, cut)) == ["00002.tar", "0003.png"]


def as_rows(*images: bytes | None) -> pa.Table:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    values = [{"bytes": image, "path": "/etc/hostname"} for image in images]
    return pa.table({"image": pa.array(values, kind), "label": list(range(len(images)))})


def save_to_disk(folder: Path, *shards: pa.Table) -> Path:
    """Write what `datasets.save_to_disk` writes, as far as it matters."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05d}-of-{len(shards):05d}.arrow" for number in range(len(shards))]
    for name, table in zip(names, shards, strict=True):
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def test_rows_of_a_data_set_have_their_index(url: str, tmp_path: Path) -> None:
    one, two = as_rows(picture(20), None, picture(21, "JPEG")), as_rows(picture(22))
    saved = save_to_disk(tmp_path / "saved", one, two)
    (saved / "cache-1.arrow").write_bytes((saved / "data-00001-of-00002.arrow").read_bytes())
    rows = rows_of(url, saved)
    assert list(rows) == ["000000000.png", "000000001", "000000002.jpg", "000000003.png"]
    assert rows["000000001"]["error"] == "a row without the bytes of an image"
    assert rows["000000003.png"]["sha256"] == hashlib.sha256(picture(22)).hexdigest()

    splits = tmp_path / "splits"
    save_to_disk(splits / "train", one)
    save_to_disk(splits / "test", two)
    (splits / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert next(iter(rows_of(url, splits))) == "test/000000000.png"

    (tmp_path / "parquet/data").mkdir(parents=True)
    for number, table in enumerate((one, two)):
        pq.write_table(table, tmp_path / f"parquet/data/train-{number:05d}-of-00002.parquet")
    assert rows_of(url, tmp_path / "parquet") == rows
    assert list(rows_of(url, tmp_path / "parquet/data/train-00001-of-00002.parquet")) == ["000000000.png"]

    first = saved / "data-00000-of-00002.arrow"
    first.write_bytes(first.read_bytes()[:900])
    rows = rows_of(url, saved)
    assert "ends early or is damaged" in rows["data-00000-of-00002.arrow"]["error"] and "000000000.png" in rows
    (saved / "state.json").write_text('{"_data_files": [{"filename": "../../other.arrow"}]}')
    assert caption(url, saved, "out.jsonl") == 1


def test_every_format_holds_the_same_rows(url: str, tmp_path: Path) -> None:
    images = some_images(tmp_path / "images")
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("What is where?\n")
    rows = rows_of(url, images, "--prompt", prompt)
    assert [row.get("verdict") for row in rows.values()] == ["accepted", "accepted", None, "too short", "refusal"]
    assert rows["cut.tiff"]["error"] == "the image cannot be decoded (cannot identify the format of the image)"
    about = ["image", "caption", "sha256", "prompt_hash", "model", "finish_reason", "verdict"]
    assert list(rows["a.png"]) == about and rows["a.png"]["prompt_hash"] == prompt_hash("What is where?")
    assert rows["a.png"]["model"] == "gpt-4o" and set(rows["cut.tiff"]) == {"image", "error"}
    asked = counts(url)["received"]

    for suffix in (".json", ".parquet", ".tar"):
        assert caption(url, images, f"out{suffix}", "--prompt", prompt) == 0
    conversations = json.loads(Path("out.json").read_text())
    assert [(row["id"], row["image"]) for row in conversations] == [("<b>", "<b>.png"), ("a", "a.png")]
    turns = [{"from": "human", "value": "<image>\nWhat is where?"}, {"from": "gpt", "value": rows["a.png"]["caption"]}]
    assert conversations[1]["conversations"] == turns
    table = pq.read_table("out.parquet").to_pylist()
    assert [{key: value for key, value in row.items() if value is not None} for row in table] == [*rows.values()]
    with tarfile.open("out.tar") as tar:
        held = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert [json.loads(held[f"{number:09d}.json"]) for number in range(5)] == [*rows.values()]
    assert held["000000001.png"] == picture(0) and "000000002.tiff" not in held and len(held) == 9
    assert caption(url, "out.tar", "again.tar", "--prompt", prompt) == 0  # what it writes it reads
    # Nothing was asked twice; what failed was looked at again, and was not sent.
    assert counts(url)["received"] == asked == 4


def test_a_page_shows_images_verdicts_and_captions_as_text(url: str, tmp_path: Path) -> None:
    rows = rows_of(url, some_images(tmp_path / "images"), "--review", tmp_path / "pages/look.html")
    page = (tmp_path / "pages/look.html").read_text()
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>" in page and "<script" not in page
    assert 'src="../images/%3Cb%3E.png"' in page and "&lt;b&gt;.png" in page
    assert page.count("<img ") == len(rows) == 5 and "<td>too short</td>" in page and "cannot be decoded" in page


def test_a_dry_run_asks_nothing_and_a_budget_holds(url: str, tmp_path: Path, capsys: Told) -> None:
    images = some_images(tmp_path / "images")
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("What?")
    assert caption(url, images, "out.jsonl", "--prompt", prompt, "--dry-run") == 0
    said = capsys.readouterr().out
    # 5 bytes of text, 64 of the frame, 1,445 of an image; 500 of a caption; 2.50 and 10 USD per million, rounded up.
    assert f"5 images: 0 captioned already, 0 cannot be read, 5 to ask about; at most {5 * 1514:,} tokens" in said
    assert "2,500 tokens of captions" in said and "at most 0.05 USD" in said
    assert counts(url)["received"] == 0 and not Path("out.jsonl").exists()

    assert caption(url, images, "out.jsonl", "--prompt", prompt, "--budget", 0.009) == 1
    stopped = counts(url)["received"]
    assert stopped < 4 and "could pass the budget of 0.01 USD" in capsys.readouterr().err
    assert caption(url, images, "out.jsonl", "--prompt", prompt, "--budget", 1) == 0
    assert counts(url)["received"] == 4
    assert caption(url, images, "out.jsonl", "--prompt", prompt, "--dry-run") == 0
    assert "5 images: 4 captioned already, 0 cannot be read, 1 to ask about" in capsys.readouterr().out


def test_an_image_that_the_endpoint_refuses_is_asked_about_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, monkeypatch)
    images = some_images(tmp_path / "images")

    def refuse(number: int, image: bytes | None, prompt: str) -> Fault | None:
        return Fault(status=400, message="the image is too small") if image == picture(0) and number < 10 else None

    with serve(describe, refuse) as url:
        rows = rows_of(url, images)
        assert "the image is too small" in rows["a.png"]["error"] and "caption" in rows["short.png"]
    with serve(describe) as url:
        assert "caption" in rows_of(url, images)["a.png"] and counts(url)["received"] == 1


def test_only_what_the_camera_stored_sideways_is_sent_in_another_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, monkeypatch)
    (tmp_path / "images").mkdir()
    stored, exif = Image.new("RGB", (40, 20), (9, 90, 200)), Image.Exif()
    exif[0x0112] = 6
    stored.save("images/sideways.jpg", exif=exif)
    stored.save("images/upright.jpg")
    seen: list[bytes] = []
    with serve(lambda image, prompt: seen.append(image or b"") or GOOD) as url:  # type: ignore[func-returns-value]
        rows_of(url, "images")
    assert Path("images/upright.jpg").read_bytes() in seen
    assert sorted(Image.open(io.BytesIO(one)).size for one in seen) == [(20, 40), (40, 20)]


Change = Callable[[str, Path], int]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (lambda url, images: caption(url, images, "out.csv"), "expected one of .jsonl, .json, .parquet, .tar"),
        (lambda url, images: caption(url, images, "out.jsonl", "--budget", 1, model="x"), "captions.endpoint.budget"),
        (lambda url, images: caption(url, images, "out.jsonl", "--budget", 0), "more than 0"),
        (lambda url, images: caption(url, images, "out.jsonl", "--prompt", "none.txt"), "none.txt: no such file"),
        (lambda url, images: caption(url, images / "none", "out.jsonl"), "no such file or folder; expected an image"),
        (lambda url, images: caption(url, images.parent / "empty", "out.jsonl"), "no images in it; expected an image"),
        (lambda url, images: main(["caption", "--images", str(images), "--out", "o.json", "--budget", "1"]), "nothing"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    command: Change, expected: str, url: str, tmp_path: Path, capsys: Told
) -> None:
    (tmp_path / "empty").mkdir()
    assert command(url, some_images(tmp_path / "images")) == 1
    told = capsys.readouterr().err
    assert expected in told and told.count("\n") == 1 and counts(url)["received"] == 0
