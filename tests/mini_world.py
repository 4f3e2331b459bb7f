"""A small synthetic world for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import PROJECT
from sharegpt4v.catalogues.sources import read_catalogue
from sharegpt4v.config.mini import InstructionRows
from sharegpt4v.config.sources import Sources
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.mini.files_server import serve_folder
from sharegpt4v.mini.world import write_world

SOURCES = read_catalogue(PROJECT / "config/sources.mini.tsv")
IMAGES = {
    "coco": 40, "llava": 40, "sam": 120, "web-celebrity": 50, "web-landmark": 6, "wikiart": 6, "share_textvqa": 6,
    "gqa": 12, "ocr_vqa": 12, "textvqa": 12, "vg": 13,
}  # fmt: skip
ROWS = InstructionRows(conversations=50, detail=30, text_only=20)
QUESTIONS = 44


def write(folder: Path, questions: int = QUESTIONS, seed: int = 0, **images: int) -> Path:
    write_world(
        folder / "world",
        folder / "scenes.jsonl",
        SOURCES,
        images or IMAGES,
        ROWS,
        seed,
        48,
        questions_per_benchmark=questions,
    )
    return folder / "world"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("mini"))


@pytest.fixture(scope="module")
def data(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world after the pipeline's own download, unpacking and intake; URL lists are read in a test of their own."""
    room = tmp_path_factory.mktemp("fetched")
    with serve_folder(world) as url:
        for source in SOURCES.values():
            if source.kind != "urls":
                fetch_source(source, room / "data", room / "work", Sources(workers=1), url)
    return room / "data"
