"""Hostile corpora, shards and paths: a row is used, or refused in one line that names the row and the field, soon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import CASES, Outcomes, many_cases
from image_files import picture
from mutations import mutated
from sharegpt4v import layout
from sharegpt4v.captions.rows import captioner_rows
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.arithmetic import write_mixture
from sharegpt4v.corpora.drawing import read_seed_captions
from sharegpt4v.corpora.pretraining import pretraining_corpus
from sharegpt4v.corpora.statistics import DatasetSource, count
from sharegpt4v.corpora.substitution import substitute
from sharegpt4v.endpoint.request import Request
from sharegpt4v.errors import UserError
from sharegpt4v.evaluation.reading import short_questions
from sharegpt4v.files import write_json
from sharegpt4v.images.usable import Usable
from sharegpt4v.images.verify import verify
from sharegpt4v.llava_format.reading import LONGEST_ROW
from sharegpt4v.models.family import family_named
from sharegpt4v.report.caption_page import caption_page, samples_in
from sharegpt4v.seed_captions.review import write_review
from sharegpt4v.seed_captions.stage import choose
from sharegpt4v.training.rows import read_rows, tokenise
from sharegpt4v.training.samples import Tally

IMAGE = "coco/train2017/1.jpg"
QUESTIONS = ("What is this?",)
SOON_S = 20.0  # on a machine with other work


def llava(number: int = 1) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhat is this?"}, {"from": "gpt", "value": f"A red circle {number}."}]
    return {"id": str(number), "image": f"coco/train2017/{number}.jpg", "conversations": turns}


def shard_row(number: int = 1) -> dict[str, Any]:
    about = {"sha256": "0", "caption": "A red circle.", "status": "accepted", "reason": None}
    return {"image": f"coco/train2017/{number}.jpg", **about}


# Everything that reads rows. Each takes the file and a folder to write to.


@cache
def tokenizer() -> Any:
    from sharegpt4v.mini.tokenizer import train_tokenizer

    return train_tokenizer(["USER: What is this? ASSISTANT: A red circle."] * 9, 400)


def train_on(rows: Path, folder: Path) -> list[Any]:
    data = folder / "data"
    for number in (1, 2, 3):
        (data / llava(number)["image"]).parent.mkdir(parents=True, exist_ok=True)
        (data / llava(number)["image"]).write_bytes(b"x")
    read = (row for _, row in read_rows(rows, data, "rows", Usable(data, missing="report")))
    return list(tokenise(read, family_named("llava"), tokenizer(), "v1", 96, "rows", Tally()))


def take_out(rows: Path, folder: Path) -> Any:
    """All rows of the mix are detail captions too, and can leave."""
    for name in ("detail", "seed"):
        write_json(folder / f"{name}.json", [llava(1), llava(2), llava(3)])
    return substitute(rows, folder / "detail.json", folder / "seed.json", ["coco"], QUESTIONS, 0, folder / "out.json")


def put_in(rows: Path, folder: Path) -> Any:
    for name in ("detail", "mix"):
        write_json(folder / f"{name}.json", [llava(1), llava(2)])
    return substitute(folder / "mix.json", folder / "detail.json", rows, ["coco"], QUESTIONS, 0, folder / "out.json")


def count_llava(rows: Path, folder: Path) -> Any:
    return count(DatasetSource("x", "x", True, "x", rows, "llava", "x"))


def count_coco(rows: Path, folder: Path) -> Any:
    return count(DatasetSource("x", "x", True, "x", rows, "coco", "x"))


def show(rows: Path, folder: Path) -> str:
    path = layout.SEED_CAPTIONS if rows.suffix == ".json" else layout.caption_shard("0")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(rows.read_bytes())
    return caption_page(samples_in([path], folder), folder / "data")


Reader = Callable[[Path, Path], Any]
LLAVA: tuple[Reader, ...] = (
    train_on, take_out, put_in, count_llava, show,
    lambda rows, folder: read_seed_captions(rows),
    lambda rows, folder: captioner_rows(rows, "Describe."),
    lambda rows, folder: write_mixture([(rows, False)], folder / "mixture.csv"),
    lambda rows, folder: verify([rows], {}, folder / "data", folder / "work", folder / "missing.csv"),
)  # fmt: skip
SHARDS: tuple[Reader, ...] = (
    lambda rows, folder: pretraining_corpus([rows], folder / "out.json", QUESTIONS, 0),
    show,
)


def array_of(rows: list[Any]) -> bytes:
    return json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass")


def shard_of(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def coco_of(rows: list[Any]) -> bytes:
    return array_of(rows).join([b'{"annotations": ', b"}"])


def annotation(number: int = 1) -> dict[str, Any]:
    return {"image_id": number, "id": number, "caption": "A red circle."}


KINDS: dict[str, tuple[tuple[Reader, ...], Callable[[int], Any], Callable[[list[Any]], bytes]]] = {
    "json": (LLAVA, llava, array_of),
    "jsonl": (SHARDS, shard_row, shard_of),
    "coco": ((count_coco,), annotation, coco_of),
}

# Fields

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["../x", "/etc/passwd", "", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ways: dict[str, list[tuple[str | int, ...]]] = {
    "json": [
        (), ("id",), ("image",), ("conversations",), ("conversations", 0), ("conversations", 1),
        ("conversations", 0, "from"), ("conversations", 1, "from"), ("conversations", 0, "value"),
        ("conversations", 1, "value"), ("new",),
    ],
    "jsonl": [(), ("image",), ("sha256",), ("caption",), ("status",), ("reason",), ("new",)],
    "coco": [(), ("image_id",), ("caption",), ("id",)],
}  # fmt: skip


def replaced(row: Any, way: tuple[str | int, ...], value: Any) -> Any:
    if not way:
        return value
    row = deepcopy(row)
    inner = row
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = value
    return row


@pytest.mark.parametrize("kind", KINDS)
def test_any_value_in_any_field_is_used_or_refused_in_one_line(tmp_path: Path, outcomes: Outcomes, kind: str) -> None:
    readers, row, content_of = KINDS[kind]

    @many_cases
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        way, value = data.draw(st.sampled_from(ways[kind])), data.draw(json_values)
        reader = data.draw(st.sampled_from(readers))
        (tmp_path / f"rows.{kind}").write_bytes(content_of([row(1), replaced(row(2), way, value), row(3)]))
        outcomes.of(partial(reader, tmp_path / f"rows.{kind}", tmp_path))

    tried()


WRONG: list[tuple[tuple[Any, ...], Any, str]] = [
    (("id",), 1.5, "field 'id': a number; expected a text"),
    (("id",), None, "field 'id': nothing; expected a text"),
    (("image",), 7, "field 'image': a number; expected a path below data/"),
    (("image",), False, "field 'image': true or false; expected a path below data/"),
    (("image",), ["a.jpg"], "field 'image': a list; expected a path below data/"),
    (
        ("image",),
        "../../a.jpg",
        r"field 'image': path '\.\./\.\./a\.jpg': name with '\.\.'; expected a path below data",
    ),
    (("image",), "/etc/passwd", "field 'image': path '/etc/passwd': absolute name; expected a path below data"),
    (("conversations",), "x", "field 'conversations': 'x'; expected a list of turns"),
    (("conversations",), None, "field 'conversations': nothing; expected a list of turns"),
    (("conversations", 1), [], r"field 'conversations\[1\]': a list; expected a turn"),
    (("conversations", 0, "value"), 3, r"field 'conversations\[0\]\.value': a number; expected a text"),
    (("conversations", 1, "value"), {}, r"field 'conversations\[1\]\.value': an object; expected a text"),
    (("conversations", 1, "from"), None, r"field 'conversations\[1\]\.from': nothing; expected a text"),
]


@pytest.mark.parametrize(("way", "value", "message"), WRONG)
def test_a_wrong_type_is_named_by_row_and_field(tmp_path: Path, way: Any, value: Any, message: str) -> None:
    rows = tmp_path / "rows.json"
    rows.write_bytes(array_of([llava(1), replaced(llava(2), way, value), llava(3)]))
    for reader in LLAVA if way == ("image",) else LLAVA[:-2]:  # the last two only look at the images
        with pytest.raises(UserError, match=rf"json, row 2, {message}"):
            reader(rows, tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("caption", None, "field 'caption': nothing; expected a text"),
        ("caption", 3, "field 'caption': a number; expected a text"),
        ("status", "acepted", "field 'status': 'acepted'; expected accepted or rejected"),
        ("sha256", [], "field 'sha256': a list; expected a text"),
        ("image", None, "field 'image': nothing; expected a path below data/"),
        ("image", "../a.jpg", r"field 'image': path '\.\./a\.jpg': name with '\.\.'"),
    ],
)
def test_a_row_of_a_shard_is_no_less_strict(tmp_path: Path, field: str, value: Any, message: str) -> None:
    shard = tmp_path / "0.jsonl"
    shard.write_bytes(shard_of([shard_row(1), shard_row(2) | {field: value}]))
    for reader in SHARDS:
        with pytest.raises(UserError, match=rf"\.jsonl, line 2, {message}"):
            reader(shard, tmp_path)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_id", "1", "field 'image_id': '1'; expected a whole number"),
        ("image_id", [1], "field 'image_id': a list; expected a whole number"),
        ("caption", 3, "field 'caption': a number; expected a text"),
    ],
)
def test_an_annotation_is_no_less_strict(tmp_path: Path, field: str, value: Any, message: str) -> None:
    (tmp_path / "coco.json").write_bytes(coco_of([annotation(1), annotation(2) | {field: value}]))
    with pytest.raises(UserError, match=f"annotation 2, {message}"):
        count_coco(tmp_path / "coco.json", tmp_path)


@pytest.mark.parametrize("path", ["../../secret.png", "/etc/passwd"])
def test_an_image_of_a_benchmark_stays_in_its_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps({"question_id": 1, "image": path, "text": "x"}))
    with pytest.raises(UserError, match=r"q\.jsonl, row 1, field 'image': path .*; expected a path below"):
        short_questions(tmp_path / "q.jsonl", tmp_path / "images")


# Bytes


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_end_in_rows_or_in_one_line(tmp_path: Path, outcomes: Outcomes, kind: str) -> None:
    readers, row, content_of = KINDS[kind]
    chosen, rows = Random(f"rows {kind}"), tmp_path / f"rows.{kind}"
    whole = content_of([row(1), row(2), row(3)])
    others = [content_of([other(4)]) for _, other, content_of in KINDS.values()]
    for number in range(CASES):
        rows.write_bytes(mutated(whole, chosen, others))
        outcomes.of(partial(readers[number % len(readers)], rows, tmp_path))


# What is deep, huge or empty


def monsters() -> Iterator[bytes]:
    """JSON values, as text."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        yield opening * 100_000 + b"1" + closing * 100_000
        yield opening * 100_000
    yield b"9" * 1_000_000
    yield b"-1e" + b"9" * 1_000
    yield b'"' + b"a" * (LONGEST_ROW + 100) + b'"'
    yield b'"' + b"\\\\" * (LONGEST_ROW // 2) + b'"'
    yield b'"' + b'\\"' * (LONGEST_ROW // 2)
    yield b'"' + b"} , {" * (LONGEST_ROW // 10) + b'"'
    yield b" " * LONGEST_ROW + b"1"
    yield b'"\\ud800"'
    yield b'"\xed\xa0\x80"'


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_deep_or_huge_ends_in_one_line_soon(tmp_path: Path, outcomes: Outcomes, kind: str) -> None:
    readers, row, content_of = KINDS[kind]
    field = {"json": "id", "jsonl": "caption", "coco": "caption"}[kind]
    for number, monster in enumerate(monsters()):
        content = content_of([row(1), row(2) | {field: "monster"}, row(3)]).replace(b'"monster"', monster)
        (tmp_path / f"rows.{kind}").write_bytes(content)
        began = time.monotonic()
        outcomes.of(partial(readers[number % len(readers)], tmp_path / f"rows.{kind}", tmp_path))
        assert time.monotonic() - began < SOON_S, (number, monster[:20])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", ["nothing", b"", b"\n", b"{}", b"null", b"1"])
def test_an_empty_corpus_or_shard_is_refused(tmp_path: Path, outcomes: Outcomes, kind: str, content: Any) -> None:
    readers, _, content_of = KINDS[kind]
    (tmp_path / f"rows.{kind}").write_bytes(content_of([]) if content == "nothing" else content)
    for reader in readers:
        if reader is not show:  # which shows what there is
            assert outcomes.of(partial(reader, tmp_path / f"rows.{kind}", tmp_path)) is None
    assert not (tmp_path / "out.json").exists() and not list(tmp_path.glob(".*.tmp"))


# Where a path leads


@pytest.mark.parametrize("path", ["../secret.png", "coco/../../secret.png", "ABSOLUTE", "coco/\0.png", "", "x" * 300])
def test_no_path_leads_out_of_the_data(tmp_path: Path, path: str) -> None:
    """Not to a teacher, a page or MLflow, nor to what is read for training and captions, whoever wrote it."""
    from sharegpt4v.captions.captioning import GenerationSettings
    from sharegpt4v.captions.shards import caption_shard

    data, secret = tmp_path / "data", tmp_path / "secret.png"
    data.mkdir()
    secret.write_bytes(picture())
    path = str(secret) if path == "ABSOLUTE" else path
    out, quality = tmp_path / "out", Quality()
    row = {"path": path, "sha256": "0", "status": "ok", "image": path, "reason": "x", "text": "x"}
    for action in (
        lambda: choose([row], "coco", 1, 0),
        lambda: choose([row], "coco", None, 0),
        lambda: Request(path, data, "coco", "0", "x").messages("low"),
        lambda: write_review(out, [row], data, {}),
        lambda: caption_page([(path, "x")], data),
        lambda: Usable(data, missing="report").takes(path, "row 1"),
        lambda: caption_shard(tmp_path, [path], data, out, GenerationSettings("x", 1), tmp_path, quality),
    ):
        with pytest.raises(UserError, match="expected a path below"):
            action()
    assert {file.name for file in tmp_path.iterdir()} == {"data", "secret.png"}


def test_the_page_shows_what_lies_below_the_data(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(picture())
    (tmp_path / "broken.png").write_bytes(picture()[:60])
    page = caption_page([("good.png", "a <b>"), ("broken.png", "c"), ("gone.png", "d")], tmp_path)
    assert page.count("<img") == 1 and "a &lt;b&gt;" in page and "gone.png" in page
