"""The corpora: every accepted caption once in an order of its own, and a substitution whose numbers add up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import PROJECT
from sharegpt4v import layout, lineage
from sharegpt4v.config import load
from sharegpt4v.corpora.arithmetic import write_mixture
from sharegpt4v.corpora.drawing import shares
from sharegpt4v.corpora.pretraining import pretraining_corpus
from sharegpt4v.corpora.substitution import substitute
from sharegpt4v.errors import UserError
from sharegpt4v.files import read_json, read_jsonl, write_json, write_jsonl
from sharegpt4v.layout import PAPER_MIX

QUESTIONS = ("What is this?", "Describe it.", "Tell me more.")


def shard_row(image: str, caption: str = "A red circle.", reason: Any = None) -> dict[str, Any]:
    status = "rejected" if reason else "accepted"
    return {"image": image, "sha256": "0", "caption": caption, "status": status, "reason": reason}


def llava(image: str | None, *turns: str) -> dict[str, Any]:
    conversations = [{"from": ("human", "gpt")[n % 2], "value": turn} for n, turn in enumerate(turns)]
    return {"id": image or "text", **({"image": image} if image else {}), "conversations": conversations}


# The pre-training corpus


def test_corpus_holds_each_accepted_caption_in_llava_form(tmp_path: Path) -> None:
    rows = [
        shard_row(f"{source}/{n}.jpg", f"Caption {n} “of” {source}.") for n in range(20) for source in ("sam", "coco")
    ]
    rows[3]["status"], rows[3]["reason"] = "rejected", "repetition"
    write_jsonl(tmp_path / "0.jsonl", rows[:25])
    write_jsonl(tmp_path / "1.jsonl", rows[25:])
    shards = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    arithmetic = pretraining_corpus(shards, tmp_path / "out.json", QUESTIONS, seed=0)
    assert arithmetic.sources() == {
        "coco": {"rows_before": 20, "rows_out": 1, "rows_in": 0, "rows_after": 19},
        "sam": {"rows_before": 20, "rows_out": 0, "rows_in": 0, "rows_after": 20},
    }
    assert read_json(tmp_path / "out.arithmetic.json") == {**arithmetic.total(), "sources": arithmetic.sources()}
    made = read_json(tmp_path / "out.json")
    assert {(row["image"], row["conversations"][1]["value"]) for row in made} == {
        (row["image"], row["caption"]) for row in rows if row["status"] == "accepted"
    }
    assert made[0]["id"] == made[0]["image"].split("/")[1].removesuffix(".jpg")
    assert [turn["from"] for turn in made[0]["conversations"]] == ["human", "gpt"]
    asked = {row["conversations"][0]["value"] for row in made}
    assert asked == {f"<image>\n{question}" for question in QUESTIONS}
    assert not all(row["image"].startswith("sam") for row in made[:10])  # sources are mixed
    for row, note in zip(made, read_jsonl(tmp_path / "out.provenance.jsonl"), strict=True):
        theirs = list(read_jsonl(tmp_path / note["shard"]))[note["line"] - 1]
        assert (theirs["image"], theirs["sha256"]) == (row["image"], note["sha256"])
        assert theirs["caption"] == row["conversations"][1]["value"]


def test_corpus_depends_on_the_seed_and_not_on_the_shards(tmp_path: Path) -> None:
    rows = [shard_row(f"coco/{n}.jpg", f"Caption {n}.") for n in range(30)]
    write_jsonl(tmp_path / "all.jsonl", rows)
    write_jsonl(tmp_path / "a.jsonl", rows[20:])
    write_jsonl(tmp_path / "b.jsonl", rows[:20])
    made = {}
    for name, shards, seed in (("one", ["all"], 0), ("two", ["a", "b"], 0), ("other", ["all"], 1)):
        pretraining_corpus([tmp_path / f"{s}.jsonl" for s in shards], tmp_path / f"{name}.json", QUESTIONS, seed)
        made[name] = (tmp_path / f"{name}.json").read_bytes()
    assert made["one"] == made["two"] != made["other"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([json.dumps(shard_row("coco/1.jpg")), '{"image": '], r"0\.jsonl, line 2: not JSON"),
        ([json.dumps({"image": "coco/1.jpg"})], r"0\.jsonl, line 1, field 'sha256': nothing; expected a text"),
        ([json.dumps(shard_row("coco/1.jpg"))] * 2, r"line 2: coco/1\.jpg has a caption already"),
        ([json.dumps(shard_row("coco/1.jpg", reason="empty"))], "no accepted caption"),
    ],
)
def test_shard_that_is_wrong_is_told(tmp_path: Path, lines: Any, message: str) -> None:
    (tmp_path / "0.jsonl").write_text("".join(line + "\n" for line in lines))
    with pytest.raises(UserError, match=message):
        pretraining_corpus([tmp_path / "0.jsonl"], tmp_path / "out.json", QUESTIONS, 0)
    assert not (tmp_path / "out.json").exists()


# Equal substitution


def write_world(folder: Path, detail: Any = 20, captions: Any = 60) -> Any:
    """A mix of conversations, text and detail captions; the detail captions; seed captions of several sources."""
    details = [llava(f"{n:03}.jpg", "<image>\nDescribe.", f"Blind caption {n}.") for n in range(detail)]
    mix = [llava(f"coco/train2017/{n:03}.jpg", "<image>\nRed?", "yes", "Blue?", "no") for n in range(40)]
    # of the same image, with another answer: not a detail caption
    mix += [llava("coco/train2017/000.jpg", "<image>\nDescribe.", "Another caption.")]
    mix += [llava(None, "Hello.", "Good day.") for _ in range(5)]
    for number, row in enumerate(details):
        mix.insert(number * 3, row | {"image": f"coco/train2017/{row['image']}"})
    sources = ("coco", "coco", "coco", "llava", "sam", "wikiart")
    seeds = [llava(f"{sources[n % 6]}/s{n}.jpg", "<image>\nWhat?", f"Right caption {n}.") for n in range(captions)]
    write_json(folder / "mix.json", mix)
    write_json(folder / "detail.json", details)
    write_json(folder / "seed.json", seeds)
    return mix


def run(folder: Path, sources: Any, seed: int = 0, name: str = "out") -> tuple[Any, Any]:
    out = folder / f"{name}.json"
    arithmetic = substitute(
        folder / "mix.json", folder / "detail.json", folder / "seed.json", sources, QUESTIONS, seed, out
    )
    assert read_json(folder / f"{name}.arithmetic.json") == {**arithmetic.total(), "sources": arithmetic.sources()}
    return arithmetic, read_json(out)


def test_detail_captions_leave_and_as_many_come_in(tmp_path: Path) -> None:
    mix = write_world(tmp_path)
    arithmetic, made = run(tmp_path, ["coco"])
    assert arithmetic.sources() == {
        "coco": {"rows_before": 61, "rows_out": 20, "rows_in": 20, "rows_after": 61},
        "text": {"rows_before": 5, "rows_out": 0, "rows_in": 0, "rows_after": 5},
    }
    assert arithmetic.total() == {"rows_before": 66, "rows_out": 20, "rows_in": 20, "rows_after": 66}
    places = [n for n in range(len(mix)) if made[n] != mix[n]]
    assert len(made) == len(mix) and places == list(range(0, 60, 3))
    assert all("Right caption" in made[n]["conversations"][1]["value"] for n in places)
    assert all(made[n]["conversations"][0]["value"].removeprefix("<image>\n") in QUESTIONS for n in places)
    assert len({made[n]["image"] for n in places}) == 20
    noted = list(read_jsonl(tmp_path / "out.provenance.jsonl"))
    assert [(one["row"], one["mix_row"]) for one in noted] == [(n, n) for n in range(66)]
    noted = [one for one in noted if "out" in one]
    assert [(one["mix_row"], one["row"], one["out"], one["in"]) for one in noted] == [
        (n, n, mix[n]["image"], made[n]["image"]) for n in places
    ]
    assert {one["source"] for one in noted} == {"coco"}


def test_quotas_are_scaled_and_small_stands_for_the_rest(tmp_path: Path) -> None:
    write_world(tmp_path)
    arithmetic, _ = run(tmp_path, {"coco": 900, "llava": 300, "sam": 450, "small": 200})
    # 20 rows as 9.73, 3.24, 4.86, 2.16
    assert arithmetic.come == {"coco": 10, "llava": 3, "sam": 5, "wikiart": 2}


@pytest.mark.parametrize("indent", [None, 2])
def test_all_detail_captions_leave_and_as_many_as_are_asked_for_come_in(tmp_path: Path, indent: int | None) -> None:
    mix = write_world(tmp_path)
    (tmp_path / "mix.json").write_text(json.dumps(mix, indent=indent))
    arithmetic, made = run(tmp_path, {"coco": 9, "llava": 3, "sam": 4, "small": 1})
    assert arithmetic.come == {"coco": 9, "llava": 3, "sam": 4, "wikiart": 1}
    assert arithmetic.total() == {"rows_before": 66, "rows_out": 20, "rows_in": 17, "rows_after": 63}
    others = [row for number, row in enumerate(mix) if number % 3 or number >= 60]
    assert [row for row in made if "Right caption" not in row["conversations"][-1]["value"]] == others
    # what stays is copied, not written anew
    kept = (tmp_path / "out.json").read_text()
    assert json.dumps(others[-5:], indent=indent)[1:-1].strip() in kept
    noted = list(read_jsonl(tmp_path / "out.provenance.jsonl"))
    assert [one["mix_row"] for one in noted] == list(range(66))
    assert [one["row"] for one in noted if one["row"] is not None] == list(range(63))
    assert [one["mix_row"] for one in noted if "out" in one] == list(range(0, 60, 3))
    assert sum(one["row"] is None and one["in"] is None for one in noted if "out" in one) == 3
    assert all(made[one["row"]]["image"] == one["in"] for one in noted if one.get("in"))
    assert all(made[one["row"]] == mix[one["mix_row"]] for one in noted if "out" not in one)


def test_rows_that_leave_at_the_ends_and_beside_each_other(tmp_path: Path) -> None:
    write_world(tmp_path)
    details = read_json(tmp_path / "detail.json")
    stays = llava(None, "Hello.", "Good day.")
    write_json(tmp_path / "mix.json", [*details[:9], stays, *details[9:]])
    arithmetic, made = run(tmp_path, {"coco": 1})
    assert arithmetic.total()["rows_after"] == len(made) == 2 and stays in made


def test_what_one_source_lacks_the_others_give(tmp_path: Path) -> None:
    write_world(tmp_path, captions=30)  # 15 of coco, 5 of each other source
    arithmetic, _ = run(tmp_path, {"coco": 1, "llava": 1, "sam": 0, "small": 8})
    assert arithmetic.come.total() == 10  # as many as are asked for
    assert arithmetic.come["wikiart"] == 5 and "sam" not in arithmetic.come


def test_too_few_seed_captions_replace_as_many_and_no_image_twice(tmp_path: Path) -> None:
    mix = write_world(tmp_path, captions=12)
    seeds = read_json(tmp_path / "seed.json")
    write_json(tmp_path / "seed.json", [*seeds, *seeds])
    arithmetic, made = run(tmp_path, ["coco"])
    assert arithmetic.total() == {"rows_before": 66, "rows_out": 6, "rows_in": 6, "rows_after": 66}
    replaced = [row for row, old in zip(made, mix, strict=True) if row != old]
    assert len({row["image"] for row in replaced}) == 6
    assert sum("Blind" in row["conversations"][1]["value"] for row in made) == 14


def test_substitution_depends_on_the_seed_alone(tmp_path: Path) -> None:
    write_world(tmp_path, captions=90)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path, ["coco", "sam"], seed, name)
    a, b, c = ((tmp_path / f"{name}.json").read_bytes() for name in "abc")
    assert a == b != c


def test_nothing_to_replace_is_an_error(tmp_path: Path) -> None:
    write_world(tmp_path)
    with pytest.raises(UserError, match=r"seed\.json: no captions of vg"):
        run(tmp_path, ["vg"])
    write_json(tmp_path / "detail.json", [llava("999.jpg", "<image>", "Else.")])
    with pytest.raises(UserError, match=r"mix\.json: none of its rows is in"):
        run(tmp_path, ["coco"])
    assert not (tmp_path / "out.json").exists()


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1), st.integers(0, 10_000), min_size=1), st.integers(0, 50_000))
def test_shares_are_proportional_and_complete(counts: dict[str, int], total: int) -> None:
    if not any(counts.values()):
        with pytest.raises(UserError):
            shares(counts, total)
        return
    shared = shares(counts, total)
    assert sum(shared.values()) == total
    for name, count in counts.items():
        assert abs(shared[name] - total * count / sum(counts.values())) < 1


# The row arithmetic


def test_the_mixture_tells_the_rows_of_corpora_that_were_made_and_of_those_that_were_taken(tmp_path: Path) -> None:
    mix = write_world(tmp_path)
    run(tmp_path, {"coco": 9, "llava": 3, "sam": 4, "small": 1})
    write_jsonl(tmp_path / "seed.rejected.jsonl", [{"source": "sam"}] * 2)
    write_json(tmp_path / "taken.json", mix)
    (tmp_path / "taken.arithmetic.json").write_text("left by an earlier run")
    corpora = [("seed.json", True), ("out.json", True), ("taken.json", False)]
    write_mixture([(tmp_path / name, made) for name, made in corpora], tmp_path / "mixture.csv")
    assert (tmp_path / "mixture.csv").read_text().splitlines() == [
        "corpus,source,rows_before,rows_out,rows_in,rows_after",
        "seed.json,coco,30,0,0,30",
        "seed.json,llava,10,0,0,10",
        "seed.json,sam,12,2,0,10",
        "seed.json,wikiart,10,0,0,10",
        "seed.json,total,62,2,0,60",
        "out.json,coco,61,20,9,50",
        "out.json,llava,0,0,3,3",
        "out.json,sam,0,0,4,4",
        "out.json,text,5,0,0,5",
        "out.json,wikiart,0,0,1,1",
        "out.json,total,66,20,17,63",
        "taken.json,coco,61,0,0,61",
        "taken.json,text,5,0,0,5",
        "taken.json,total,66,0,0,66",
    ]
    with pytest.raises(UserError, match=r"taken\.arithmetic\.json, line 1, column 1: not JSON"):
        write_mixture([(tmp_path / "taken.json", True)], tmp_path / "mixture.csv")


def test_the_papers_own_mix_is_of_665058_rows() -> None:
    mix = load(PROJECT / "config/paper-7b.yaml")
    assert 665_298 - 23_240 + sum(mix.corpora.finetuning_sources.values()) == 665_058
    paper = next(model for model in mix.models if model.name == "sharegpt4v-7b")
    published = "sharegpt4v_mix665k_cap23k_coco-ap9k_lcs3k_sam9k_div2k.json"
    assert lineage.rows_of(mix, paper).name == published and layout.substituted(mix)[published[:-5]] == PAPER_MIX
