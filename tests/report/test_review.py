"""`s4v review`: what it indexes, finds, keeps and serves, and what the quality gate makes of the verdicts."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from conftest import ENVIRONMENT
from image_files import picture
from sharegpt4v.captions.captioning import Captioned
from sharegpt4v.captions.gate import reasons_of
from sharegpt4v.captions.outputs import writer_of
from sharegpt4v.cli import main
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.caption_files import read_rows
from sharegpt4v.corpora.rows import caption_row
from sharegpt4v.corpora.verdicts import Verdicts
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_jsonl, write_json, write_jsonl
from sharegpt4v.report.review import query as querying
from sharegpt4v.report.review import search
from sharegpt4v.report.review.index import Index, open_index
from sharegpt4v.report.review.judging import Reviewed
from sharegpt4v.report.review.query import VERDICTS, Filter, Query
from sharegpt4v.report.review.search import match_of
from sharegpt4v.report.review.server import application

WORDS = ["red", "blue", "circle", "square", "sea", "Straße"]


def shard_row(image: str, caption: str, reason: str | None = None) -> dict[str, Any]:
    status = "rejected" if reason else "accepted"
    return {"image": image, "sha256": "0" * 64, "caption": caption, "status": status, "reason": reason}


def some_rows(count: int) -> list[dict[str, Any]]:
    """Rows of three sources and three verdicts of the gate, of up to ten words."""
    draw = random.Random(0)
    return [
        shard_row(
            f"{draw.choice(['coco', 'sam', 'llava'])}/{number:05d}.png",
            " ".join(draw.choices(WORDS, k=draw.randrange(1, 10))),
            draw.choice([None, None, "too short", "repetition"]),
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Index]:
    folder, rows = tmp_path_factory.mktemp("review"), some_rows(600)
    write_jsonl(folder / "shards/0.jsonl", rows[:400])
    write_jsonl(folder / "shards/1.jsonl", rows[400:])
    return rows, open_index([folder / "shards"], folder / "work")


# What is read


def test_every_file_of_captions_is_read(tmp_path: Path) -> None:
    own = {"image": "a/1.jpg", "caption": "one", "sha256": "s", "prompt_hash": "p", "model": "m"}
    own |= {"finish_reason": "length", "verdict": "cut off"}
    for name in ("own.jsonl", "own.parquet"):
        writer_of(Path(name))(tmp_path / name, [own, {"image": "b.jpg", "error": "broken"}], {}, "")
        first, second = (row for _, row in read_rows(tmp_path / name))
        assert (first.image, first.source, first.caption, first.reason) == ("a/1.jpg", "a", "one", "cut off")
        assert first.about == {"model": "m", "prompt_hash": "p", "finish_reason": "length", "sha256": "s"}
        assert (second.source, second.caption, second.reason) == ("", "broken", "error")
    write_json(tmp_path / "corpus.json", [caption_row("coco/9.jpg", "two", "What is it?")])
    ((_, row),) = read_rows(tmp_path / "corpus.json")
    assert (row.source, row.caption, row.reason, row.about["question"]) == (
        "coco", "two", "not in this file", "What is it?",
    )  # fmt: skip
    rejected = {"image": "sam/1.jpg", "source": "sam", "reason": "refusal", "text": "I'm sorry"}
    write_jsonl(tmp_path / "seed.rejected.jsonl", [rejected])
    ((_, row),) = read_rows(tmp_path / "seed.rejected.jsonl")
    assert (row.caption, row.reason) == ("I'm sorry", "refusal")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "x", r"a\.txt: suffix '\.txt' is not known; expected one of \.jsonl, \.json, \.parquet"),
        ("none.jsonl", None, r"none\.jsonl: no such file; expected captions"),
        ("a.jsonl", "", r"a\.jsonl: no captions in it"),
        ("a.jsonl", "[1]\n", r"a\.jsonl, line 1: no object; expected a caption"),
        ("a.jsonl", '{"image":"a"}\n', r"a\.jsonl, line 1: has no caption"),
        ("a.jsonl", '{"image":"a","caption":"b"}\n{"caption":"b"}\n', r"line 2, field 'image': no text"),
        ("a.jsonl", '{"image":', r"line 1: not JSON"),
        ("a.json", '{"image":1}', r"no JSON array"),
        ("a.json", '[{"image":"a","conversations":[]}]', r"row 1: expected a LLaVA row"),
        ("a.parquet", "no parquet", r"a\.parquet: no Parquet file"),
    ],
)
def test_what_holds_no_captions_is_one_line_and_leaves_no_index(
    name: str, content: str | None, expected: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=expected) as caught:
        open_index([tmp_path / name], tmp_path / "work")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("work/*"))


def test_an_index_is_built_once_and_anew_for_a_changed_file(tmp_path: Path) -> None:
    shard, work = tmp_path / "0.jsonl", tmp_path / "work"
    write_jsonl(shard, [shard_row("coco/1.jpg", "old")])
    assert [row.caption for row in open_index([shard], work).rows([0])] == ["old"]
    (built,) = work.iterdir()
    date = built.stat().st_mtime_ns
    open_index([shard], work)
    assert [built] == list(work.iterdir()) and built.stat().st_mtime_ns == date
    write_jsonl(shard, [shard_row("coco/1.jpg", "new")])
    assert [row.caption for row in open_index([shard], work).rows([0])] == ["new"]
    assert built not in work.iterdir() and len(list(work.iterdir())) == 1


def test_an_index_whose_build_was_killed_is_rebuilt(tmp_path: Path) -> None:
    shard, work = tmp_path / "0.jsonl", tmp_path / "work"
    write_jsonl(shard, (shard_row(f"coco/{number}.jpg", "a red circle " * 20) for number in range(60_000)))
    code = "import sys; from pathlib import Path; from sharegpt4v.report.review.index import open_index; "
    command = [sys.executable, "-c", f"{code}open_index([Path(sys.argv[1])], Path(sys.argv[2]))", str(shard), str(work)]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        while not any(one.stat().st_size > 100_000 for one in work.glob(".*.sqlite")):
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.005)
        process.kill()
    assert not list(work.glob("[!.]*.sqlite"))
    assert len(open_index([shard], work)) == 60_000
    assert [one.suffix for one in work.iterdir()] == [".sqlite"] and not list(work.glob(".*.sqlite"))


# What is found


@pytest.fixture(params=[(10_000, 2**17), (0, 2**17), (0, 64)], ids=["looked up", "one block", "blocks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways in which a search is done, which differ by how many rows there are."""
    few, block = request.param
    monkeypatch.setattr(querying, "FEW", few)
    for module in (querying, search):
        monkeypatch.setattr(module, "BLOCK", block)


def test_filters_find_what_a_plain_look_finds(way: None, indexed: tuple[list[dict[str, Any]], Index]) -> None:
    rows, index = indexed
    marks = np.array([number % 3 for number in range(len(rows))], np.int8)
    query, names = Query(index, marks), {number: name for name, number in VERDICTS.items()}
    found = 0
    for source, reason, verdict, lengths, text in product(
        [None, "sam", "nowhere"],
        [None, "accepted", "too short"],
        [None, "none", "rejected"],
        [(None, None), (10, 30)],
        ["", "red", "CIRCLE sea", '"red circle"', "nothing", "strasse", "Straße"],
    ):
        phrases = [text.strip('"')] if text.startswith('"') else text.split()
        expected = [
            number
            for number, row in enumerate(rows)
            if source in (None, row["image"].partition("/")[0])
            and reason in (None, row["reason"] or "accepted")
            and verdict in (None, names[number % 3])
            and (lengths[0] or 0) <= len(row["caption"]) <= (lengths[1] or 10**6)
            and all(f" {phrase.lower()} " in f" {row['caption'].lower()} " for phrase in phrases)
        ]
        wanted = Filter(source, reason, verdict, *lengths, text)
        page = query.page(wanted, len(rows))
        assert page.numbers == expected and (page.total, page.exact) == (len(expected), True), wanted
        found += len(expected)
    assert found > 1000


@pytest.mark.parametrize("text", ["", "red", '"red circle"'])
def test_pages_forward_and_back_have_every_row_once(
    way: None, text: str, indexed: tuple[list[dict[str, Any]], Index]
) -> None:
    rows, index = indexed
    query, wanted = Query(index, np.zeros(len(rows), np.int8)), Filter(source="sam", text=text)
    expected = query.page(wanted, len(rows)).numbers
    forward, page = list[int](), query.page(wanted, 7)
    while page.numbers:
        assert (page.first, page.total) == (len(forward) + 1, len(expected))
        forward += page.numbers
        page = query.page(wanted, 7, after=page.numbers[-1])
    back, page = list[int](), query.page(wanted, 7, before=len(rows))
    while page.numbers:
        back = page.numbers + back
        page = query.page(wanted, 7, before=page.numbers[0])
    assert forward == back == expected and len(expected) > 10


def test_a_page_does_not_wait_for_the_count(
    indexed: tuple[list[dict[str, Any]], Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, index = indexed
    for module, name, value in ((querying, "FEW", 0), (querying, "BLOCK", 64), (search, "BLOCK", 64)):
        monkeypatch.setattr(module, name, value)
    whole = Query(index, np.zeros(len(rows), np.int8)).page(Filter(text="red"), len(rows))
    monkeypatch.setattr(querying, "SECONDS", 0)
    query = Query(index, np.zeros(len(rows), np.int8))
    middle = query.page(Filter(text="red"), 5, after=300)
    assert middle.numbers == [number for number in whole.numbers if number > 300][:5]
    assert middle.first is None and not middle.exact and 5 <= middle.total < whole.total
    monkeypatch.setattr(querying, "SECONDS", 9)
    counted = query.page(Filter(text="red"), 5, after=300)
    assert counted.exact and counted.total == whole.total
    assert counted.first == whole.numbers.index(counted.numbers[0]) + 1


@given(
    st.text(max_size=30) | st.sampled_from(['" OR *', "NEAR(red blue)", "caption:red", "^red", "red*", "-red", "\0"])
)
def test_no_text_commands_the_search(indexed: tuple[list[dict[str, Any]], Index], text: str) -> None:
    rows, index = indexed
    assert Query(index, np.zeros(len(rows), np.int8)).page(Filter(text=text), 5).total <= len(rows)
    assert re.fullmatch(r'("[^"]+"( AND "[^"]+")*)?', match_of(text))


# Verdicts


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    rows = [shard_row("coco/0.png", "a red circle"), shard_row("coco/1.png", "a blue square", "too short")]
    rows += [shard_row("coco/0.png", " a red circle\n"), shard_row("coco/2.png", " ", "empty")]
    write_jsonl(tmp_path / "0.jsonl", rows)
    return tmp_path / "0.jsonl"


def test_verdicts_are_on_disk_at_once_and_can_be_taken_back(shard: Path, tmp_path: Path) -> None:
    index, path = open_index([shard], tmp_path / "work"), tmp_path / "v.jsonl"
    first, second, *_ = index.rows([0, 1])
    with Reviewed(index, path) as reviewed:
        reviewed.judge(0, first, "rejected", "wrong detail")
        assert reviewed.marks.tolist() == [2, 0, 2, 0]  # the same caption of the same image
        (kept,) = read_jsonl(path)
        assert (kept["image"], kept["verdict"], kept["reason"]) == ("coco/0.png", "rejected", "wrong detail")
        reviewed.judge(0, first, "accepted", None)
        reviewed.judge(1, second, "accepted", None)
        assert reviewed.undo() == 1 and reviewed.undo() == 0
        assert reviewed.of(first) == ("rejected", "wrong detail") and reviewed.of(second) == (None, None)
        with pytest.raises(UserError, match="is writing it"):
            Reviewed(index, path)
    with open(path, "ab") as file:
        file.write(b'{"key":"torn')  # by a kill
    with Reviewed(index, path) as again:
        assert again.marks.tolist() == [2, 0, 2, 0] and again.of(first) == ("rejected", "wrong detail")
        assert again.undo() is None


def test_the_gate_takes_what_people_say(shard: Path, tmp_path: Path) -> None:
    index, path = open_index([shard], tmp_path / "work"), tmp_path / "v.jsonl"
    good, short = "a red circle " * 9 + "on the sea", "a blue square"
    captioned = {
        "coco/0.png": Captioned("", good, "stop", None),
        "coco/1.png": Captioned("", short, "stop", None),
        "coco/2.png": Captioned("", good, "stop", None),
        "coco/3.png": Captioned("", " ", "stop", None),
        "coco/4.png": Captioned("", "", "stop", "broken"),
    }
    limits = Quality(loops=99)
    before = reasons_of(captioned, "", limits)
    assert list(before.values()) == [None, "too short", None, "empty", "broken"]
    write_jsonl(tmp_path / "1.jsonl", [shard_row(image, one.text) for image, one in captioned.items()])
    index = open_index([tmp_path / "1.jsonl"], tmp_path / "work")
    with Reviewed(index, path) as reviewed:
        for number, verdict in enumerate(["rejected", "accepted", "", "accepted", "accepted"]):
            if verdict:
                (row,) = index.rows([number])
                reviewed.judge(number, row, verdict, None)
    after = reasons_of(captioned, "", limits.model_copy(update={"reviewed": path}))
    assert list(after.values()) == ["reviewed", None, None, "empty", "broken"]  # the same text of another image passes
    other = captioned | {"coco/0.png": Captioned("", good + ".", "stop", None)}
    assert reasons_of(other, "", limits.model_copy(update={"reviewed": path}))["coco/0.png"] is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"key": "k", "image": "a", "caption_sha256": "b", "verdict": "accepted"}, "not the key of its image"),
        ({"key": "k", "verdict": "perhaps"}, "verdict 'perhaps'; expected 'accepted', 'rejected' or null"),
        ({"image": "a"}, "not a ledger line"),
    ],
)
def test_what_is_no_file_of_verdicts_is_refused(line: dict[str, str], expected: str, tmp_path: Path) -> None:
    (tmp_path / "v.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match=expected):
        Verdicts(tmp_path / "v.jsonl")
    with pytest.raises(UserError, match="no such file; expected a ledger"):
        Verdicts(tmp_path / "none.jsonl")


# The server


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """The page of five captions, one of them hostile, below `/secret/`."""
    images = tmp_path / "images"
    (images / "coco").mkdir(parents=True)
    (images / "coco/0.png").write_bytes(picture())
    (images / "coco/1.png").write_bytes(b"<script>alert(1)</script>")
    (tmp_path / "outside.png").write_bytes(picture())
    names = ["coco/0.png", "coco/1.png", "../outside.png", "coco/missing.png"]
    rows = [shard_row(name, "a <b>red</b> circle") for name in names] + [{"image": "x.png", "error": "broken"}]
    write_jsonl(tmp_path / "<i>.jsonl", rows)
    index = open_index([tmp_path / "<i>.jsonl"], tmp_path / "work")
    with Reviewed(index, tmp_path / "v.jsonl") as reviewed:
        app = application(index, reviewed, images, "<i>.jsonl", "<u>notice", "secret")
        yield TestClient(app, base_url="http://127.0.0.1:9")


def test_the_page_escapes_and_loads_nothing_else(client: TestClient) -> None:
    answer = client.get("/secret/")
    body = answer.text.partition("<body>")[2]
    assert body.lstrip().startswith('<p id="notice">&lt;u&gt;notice</p>')
    assert "<i>" not in answer.text and "&lt;i&gt;.jsonl" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http" not in answer.text and "unsafe" not in answer.headers["content-security-policy"]
    assert client.get("/secret/page.js").status_code == client.get("/secret/page.css").status_code == 200
    assert client.get("/secret/page.html").status_code == 404


def test_without_the_secret_or_by_another_name_nothing_is_answered(client: TestClient, tmp_path: Path) -> None:
    asked = {"row": 0, "verdict": "accepted"}
    for method, path in (("GET", "/"), ("GET", "/rows"), ("POST", "/verdict"), ("POST", "/guess/verdict")):
        assert client.request(method, path, json=asked if method == "POST" else None).status_code == 404
    for host in ("evil.example", "127.0.0.1.evil.example"):
        assert client.post("/secret/verdict", json=asked, headers={"host": host}).status_code == 400
    assert (tmp_path / "v.jsonl").read_bytes() == b""


def test_images_are_of_the_folder_and_images(client: TestClient) -> None:
    found = client.get("/secret/image/0")
    assert found.status_code == 200 and found.headers["content-type"] == "image/png" and found.content == picture()
    for number in (1, 2, 3, 4, 5, 10**30):  # no image, outside, not there, no caption, no row
        assert client.get(f"/secret/image/{number}").status_code == 404
    assert client.get("/secret/image/..%2foutside.png").status_code == 404


def test_verdicts_by_the_server(client: TestClient, tmp_path: Path) -> None:
    answer = client.post("/secret/verdict", json={"row": 0, "verdict": "rejected", "reason": "2"}).json()
    assert (answer["row"]["verdict"], answer["row"]["why"]) == ("rejected", "wrong detail")
    assert len(list(read_jsonl(tmp_path / "v.jsonl"))) == 1
    assert client.get("/secret/rows?verdict=rejected").json()["total"] == 1
    wrong: Any
    for wrong in (
        {"row": 4, "verdict": "accepted"},  # an error
        {"row": 9, "verdict": "accepted"},
        {"row": -1, "verdict": "accepted"},
        {"row": 2**64, "verdict": "accepted"},
        {"row": 0, "verdict": "rejected"},
        {"row": 0, "verdict": "accepted", "reason": "1"},
        {"row": 0, "verdict": "rejected", "reason": ["1"]},
        {"row": 0, "verdict": {}},
        {"verdict": "accepted"},
        [],
        "x",
    ):
        assert client.post("/secret/verdict", json=wrong).status_code == 400, wrong
    assert client.post("/secret/undo").json()["row"]["verdict"] is None
    assert client.post("/secret/undo").status_code == 409
    for asked in ("after=x", "before=-1", "longest=" + "9" * 99):
        assert client.get(f"/secret/rows?{asked}").status_code == 400
    assert client.get("/secret/rows?source=&text=broken").json()["total"] == 1


def test_a_folder_or_port_that_cannot_be_taken_is_one_line(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["review", str(shard)]) == 1
    assert "--images data: no such folder" in capsys.readouterr().err
    (tmp_path / "data").mkdir()
    assert main(["review", str(shard), "--port", "99999"]) == 1
    assert "--port 99999: cannot listen there" in capsys.readouterr().err


def test_ctrl_c_ends_it(shard: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-m", "sharegpt4v.cli", "review", str(shard), "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what is started in the background ignores it
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("4 captions at http://127.0.0.1:")
        os.kill(process.pid, signal.SIGINT)
        try:
            assert process.wait(10) == 130
        finally:
            process.kill()
