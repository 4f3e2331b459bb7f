"""The teacher of the synthetic world."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

from mini_world import data, world  # noqa: F401  (fixtures)
from sharegpt4v.config.quality import Quality
from sharegpt4v.corpora.quality import reject_reason
from sharegpt4v.mini.describe import caption
from sharegpt4v.mini.endpoint_answers import NO_IMAGE, UNKNOWN, describe_by_hash
from sharegpt4v.mini.scene import Scene


def test_the_teacher_describes_the_pictures_it_knows(world: Path, data: Path) -> None:
    answer = describe_by_hash(world.parent / "scenes.jsonl")
    rows = {}
    for line in (world.parent / "scenes.jsonl").read_text().splitlines():
        row = json.loads(line)
        rows[row["sha256"]] = caption(Scene.from_json(row["scene"]))
    right = 0
    for picture in (data / "coco/train2017").iterdir():
        content = picture.read_bytes()
        right += answer(content, "Describe.") == rows[hashlib.sha256(content).hexdigest()]
    assert right >= 38
    assert answer(b"a photograph of my own", "Describe.") == UNKNOWN
    assert answer(None, "Describe.") == NO_IMAGE


def test_a_hundredth_of_the_replies_is_for_the_gate(tmp_path: Path) -> None:
    scene = Scene("fog", kind="landmark", name="Twin Arch")
    pictures = [f"picture {number}".encode() for number in range(4000)]
    known = tmp_path / "scenes.jsonl"
    lines = [{"sha256": hashlib.sha256(one).hexdigest(), "scene": scene.to_json()} for one in pictures]
    known.write_text("".join(json.dumps(line) + "\n" for line in lines))
    answer = describe_by_hash(known)
    reasons = Counter(reject_reason(answer(one, ""), "", "a.jpg", Quality(shortest_characters=20)) for one in pictures)
    assert set(reasons) == {None, "refusal", "prompt echo"}
    assert 10 <= reasons["refusal"] <= 35 and 10 <= reasons["prompt echo"] <= 35
