"""What is measured of captions without a judge, against sums done by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from sharegpt4v.caption_quality.measures import measure
from sharegpt4v.caption_quality.objects import objects_named, phrases_of, plural, read_annotations, read_words
from sharegpt4v.corpora.caption_files import Row
from sharegpt4v.errors import UserError
from sharegpt4v.layout import of_project
from sharegpt4v.mini.describe import alt_text, blind_caption, caption, short_caption
from sharegpt4v.mini.facts import facts_in
from sharegpt4v.mini.scene import sample_scene

WORDS = read_words(of_project(Path("config/coco_objects.tsv")))


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("Two women walk their dogs past a parked taxi.", {"person", "dog", "car"}),
        ("A hot dog and a sandwich on a dining table", {"hot dog", "sandwich", "dining table"}),
        ("A teddy bear sits on the sofa; knives lie near.", {"teddy bear", "couch", "knife"}),
        ("A baseball bat, a fire hydrant, tennis rackets.", {"baseball bat", "fire hydrant", "tennis racket"}),
        ("The skier's skis; buses, benches and puppies.", {"person", "skis", "bus", "bench", "dog"}),
        ("A category of carpets in scattered, manly catalogues", set()),
    ],
)
def test_objects_are_found_by_their_words(text: str, objects: set[str]) -> None:
    assert objects_named(text, phrases_of(WORDS, WORDS)) == objects


def test_there_are_words_for_all_objects_of_coco() -> None:
    assert len(WORDS) == 80
    every = [word for name, others in WORDS.items() for word in (name, *others)]
    assert len(every) == len(set(every)), "a word that names two objects"
    assert [plural(word) for word in ("bus", "puppy", "knife", "toothbrush", "boy", "skis", "person")] == [
        "buses", "puppies", "knives", "toothbrushes", "boys", "skis", "people",
    ]  # fmt: skip


def test_hallucinated_objects_are_counted_by_mention_and_by_caption(tmp_path: Path) -> None:
    """CHAIR: of four objects named one is not there, in one of two captions; of four annotated three are named."""
    annotations = {
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}, {"id": 3, "name": "car"}],
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": 7, "category_id": 1}, {"image_id": 7, "category_id": 1}, {"image_id": 7, "category_id": 2},
            {"image_id": 8, "category_id": 3}, {"image_id": 8, "category_id": 2},
        ],
    }  # fmt: skip
    (tmp_path / "instances.json").write_text(json.dumps(annotations))
    annotated = read_annotations(tmp_path / "instances.json")
    rows = [
        Row("coco/a.jpg", "coco", "A man and his dog, a big dog.", "accepted"),
        Row("coco/b.jpg", "coco", "A car and a dog.", "accepted"),
        Row("sam/c.jpg", "sam", "red car red car red car", "accepted"),
    ]
    whole, coco, sam = measure("set", rows, annotated, phrases_of(["dog", "person", "car"], WORDS))
    names = ("objects_count", "hallucinated_percent", "with_hallucination_percent", "objects_found_percent")
    assert [coco[name] for name in names] == [2, "25.0", "50.0", "75.0"]
    assert [sam[name] for name in names] == [0, "", "", ""]
    assert [whole[name] for name in names] == [2, "25.0", "50.0", "75.0"]
    assert (whole["count"], whole["characters"], whole["words"]) == (3, "22.7", "6.3")
    # of its three sequences of four words the last repeats the first
    assert sam["repeated_percent"] == "33.3" and coco["repeated_percent"] == "0.0"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"categories": [], "images": [], "annotations": [{"image_id": 1}]}'])
def test_what_is_no_annotation_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: no annotations of COCO"):
        read_annotations(tmp_path / "a.json")


@pytest.mark.parametrize("source", ["coco", "sam", "share_textvqa", "web-celebrity", "web-landmark", "wikiart"])
def test_facts_of_the_synthetic_world_are_right_or_wrong(source: str) -> None:
    random = Random(0)
    for _ in range(50):
        scene = sample_scene(source, random)
        true = facts_in(caption(scene))
        short, guessed = facts_in(short_caption(scene)), facts_in(blind_caption(scene, random))
        assert true and short <= true and facts_in(alt_text(scene)) <= true
        assert short.total() < true.total() and guessed.total()
        wrong = facts_in(caption(replace(scene, background="fog" if scene.background == "night" else "night")))
        assert (true - wrong).total() == (wrong - true).total() == 1
