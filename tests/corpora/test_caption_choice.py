"""The captions of an ablation's pre-training: equal images for all authors, nested shares, and a rewritten mix."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from sharegpt4v.corpora.caption_choice import read_captions, rewrite_mix, write_choice
from sharegpt4v.corpora.rows import caption_row
from sharegpt4v.errors import UserError

Files = Mapping[str, Sequence[tuple[Path, str]]]
COCO = [f"coco/train2017/{number:012d}.jpg" for number in range(40)]
LLAVA = [f"llava/llava_pretrain/images/{number}.jpg" for number in range(10)]
QUESTIONS = ("What is it?", "Describe it.")


def write_rows(path: Path, captions: Mapping[str, str]) -> Path:
    path.write_text(json.dumps([caption_row(image, text, "?") for image, text in captions.items()]))
    return path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Captions of four authors, who describe different images; people wrote two captions of each of COCO's."""
    coco = tmp_path / "captions_train2017.json"
    twice = [(number, order) for order in (1, 2) for number in range(5, 40)]
    coco.write_text(json.dumps({"annotations": [{"image_id": n, "caption": f"{o}st short {n}"} for n, o in twice]}))
    short = {image.removeprefix("llava/llava_pretrain/images/"): "alt" for image in LLAVA}
    return {
        "captioner": [(write_rows(tmp_path / "pt.json", {one: f"captioner {one}" for one in COCO + LLAVA}), "")],
        "teacher": [(write_rows(tmp_path / "seed.json", {one: "teacher" for one in COCO[:30] + LLAVA[:5]}), "")],
        "blind": [(write_rows(tmp_path / "detail.json", {one: "blind" for one in COCO[10:]}), "")],
        "short": [
            (coco, "coco/train2017"),
            (write_rows(tmp_path / "blip.json", short), "llava/llava_pretrain/images"),
        ],
    }


def chosen(files: Files, author: str, out: Path, share: float = 1.0, seed: int = 0, **what: object) -> list[str]:
    described_by, sources = what.get("described_by", ()), what.get("sources")
    count = write_choice(files, author, described_by, sources, share, QUESTIONS, seed, out)  # type: ignore[arg-type]
    rows = json.loads(out.read_text())
    assert len(rows) == count
    return [row["image"] for row in rows]


def test_all_authors_have_the_same_images_in_the_same_order(files: Files, tmp_path: Path) -> None:
    of = {
        author: chosen(
            files, author, tmp_path / f"{author}.json", described_by=("blind", "short", "captioner", "teacher")
        )
        for author in files
    }
    assert set(of["blind"]) == set(COCO[10:30]) and of["blind"] != sorted(of["blind"])
    assert len({tuple(images) for images in of.values()}) == 1
    texts = {author: json.loads((tmp_path / f"{author}.json").read_text())[0] for author in files}
    questions = {row["conversations"][0]["value"] for row in texts.values()}
    assert len(questions) == 1 and len({row["conversations"][1]["value"] for row in texts.values()}) == 4


def test_a_larger_share_begins_with_a_smaller_one(files: Files, tmp_path: Path) -> None:
    shares = [chosen(files, "captioner", tmp_path / "out.json", share) for share in (0.1, 0.3, 0.6, 1.0)]
    assert [len(images) for images in shares] == [5, 15, 30, 50]
    for smaller, larger in pairwise(shares):
        assert larger[: len(smaller)] == smaller
    assert chosen(files, "captioner", tmp_path / "out.json", 0.1, seed=1) != shares[0]
    assert chosen(files, "captioner", tmp_path / "out.json", 0.001) == shares[0][:1]


def test_sources_are_chosen_and_the_first_caption_counts(files: Files, tmp_path: Path) -> None:
    assert set(chosen(files, "short", tmp_path / "out.json", sources=("llava",))) == set(LLAVA)
    assert len(chosen(files, "short", tmp_path / "out.json")) == 35 + 10
    assert read_captions(files["short"])[COCO[5]] == "1st short 5"
    with pytest.raises(UserError, match=r"out.json: no image has captions of blind; expected some"):
        chosen(files, "blind", tmp_path / "out.json", sources=("sam",))


def test_the_captioner_writes_the_seed_captions_of_a_mix_anew(files: Files, tmp_path: Path) -> None:
    wiki = "wikiart/images/1.jpg"
    mix, out = (
        write_rows(tmp_path / "mix.json", dict.fromkeys([COCO[0], COCO[1], wiki, COCO[2]], "before")),
        tmp_path / "o",
    )
    notes = [{"row": 0, "mix_row": 0}, {"row": 1, "mix_row": 1, "in": COCO[1]}, {"row": 2, "mix_row": 2, "in": wiki}]
    notes += [{"row": 3, "mix_row": 3}, {"row": None, "mix_row": 4, "in": None}]
    (tmp_path / "mix.provenance.jsonl").write_text("".join(json.dumps(note) + "\n" for note in notes))
    assert rewrite_mix(mix, files["captioner"][0][0], out) == 1  # nobody has described the painting
    before, after = json.loads(mix.read_text()), json.loads(out.read_text())
    assert after[1]["conversations"][1]["value"] == f"captioner {COCO[1]}"
    assert [row for place, row in enumerate(after) if place != 1] == [*before[:1], *before[2:]]
    with pytest.raises(UserError, match="none of its seed captions is of an image in"):
        rewrite_mix(mix, write_rows(tmp_path / "others.json", {COCO[9]: "x"}), out)
