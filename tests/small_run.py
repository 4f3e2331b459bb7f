"""What a run leaves that data sets are made of, without the run."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from sharegpt4v import layout
from sharegpt4v.config import Config, load
from sharegpt4v.files import write_json
from sharegpt4v.pipeline.targets import shards

ROWS = 40


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A folder with the seed captions, the captions, the corpora and the images of a small run."""
    config = load(Path("config/smoke.yaml").resolve())
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    write_json(layout.RUN_CONFIG, config.model_dump(mode="json"))
    images = [_image(number) for number in range(ROWS)]
    names = shards(config)
    for number, name in enumerate(names):
        _write_lines(layout.caption_shard(name), list(map(_captioned, images[number :: len(names)])))
    seeds = [_llava(image, f"<b>A caption</b> of {image['image']} 图") for image in images[: ROWS // 2]]
    write_rows(layout.SEED_CAPTIONS, seeds)
    about = {"prompt_hash": "0f" * 8, "model": "mini-teacher", "answered_by": "mini-teacher"}
    stem = layout.SEED_CAPTIONS.with_suffix("").as_posix()
    _write_lines(Path(f"{stem}.provenance.jsonl"), [image | about for image in images[: ROWS // 2]])
    write_json(Path(f"{stem}.prompts.json"), {"0f" * 8: "Describe the image."})
    refused = {"image": images[-1]["image"], "source": "sam", "reason": "refusal", "text": "I cannot."}
    _write_lines(Path(f"{stem}.rejected.jsonl"), [refused])
    texts = [{"id": 7, "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]}]
    write_rows(layout.corpus("llava-665k", "all"), [*texts, *seeds, *seeds[:3]])
    write_rows(layout.PRETRAINING_CORPUS, seeds[::-1])
    return config


def _image(number: int) -> dict[str, str]:
    """An image file of noise, every third a PNG, whatever its name says."""
    name = f"{'coco/train2017' if number % 2 else 'sam/images'}/{number:012d}.jpg"
    path = layout.DATA / name
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = Image.frombytes("RGB", (8, 6), random.Random(number).randbytes(8 * 6 * 3))
    noise.save(path, "JPEG" if number % 3 else "PNG")
    return {"image": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _captioned(image: dict[str, str]) -> dict[str, Any]:
    bad = int(image["sha256"], 16) % 4 == 0
    verdict = {"status": "rejected", "reason": "looping"} if bad else {"status": "accepted", "reason": None}
    return {**image, "caption": f"Caption of {image['image']}", **verdict}


def _llava(image: dict[str, str], caption: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": caption}]
    return {"id": Path(image["image"]).stem, "image": image["image"], "conversations": turns}


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
