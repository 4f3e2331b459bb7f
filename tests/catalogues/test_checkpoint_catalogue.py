"""The table of published checkpoints: what the project ships, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import PROJECT
from sharegpt4v.catalogues.checkpoints import FIELDS, WHOLE, read_checkpoints
from sharegpt4v.config.base_models import CLIP, VICUNA_7B, VICUNA_13B
from sharegpt4v.config.loading import load
from sharegpt4v.errors import UserError
from sharegpt4v.lineage import published_models


def test_base_models_have_the_commits_of_the_config() -> None:
    listed = read_checkpoints()
    taken = [base.published for base in (CLIP, VICUNA_7B, VICUNA_13B)] + [VICUNA_7B.projector, VICUNA_13B.projector]
    for preset in ("released", "substitution-qwen"):
        taken += published_models(load(PROJECT / f"config/{preset}.yaml")).values()
    for published in taken:
        assert published is not None
        assert listed[published.id].revision == published.revision
    short = {row.id for row in listed.values() if row.revision and len(row.revision) < WHOLE}
    assert "liuhaotian/llava-v1.5-7b" in short
    assert all(row.files and row.licence for row in listed.values())


def test_bytes_follow_from_the_number_of_weights() -> None:
    """Two bytes for each: those of Vicuna, and with a projector of two layers those of LLaVA-1.5."""
    listed = read_checkpoints()
    for size, llm, width in (("7b", 6_738_415_616, 4096), ("13b", 13_015_864_320, 5120)):
        projector = 1024 * width + width + width * width + width
        for id, weights in (
            (f"lmsys/vicuna-{size}-v1.5", llm),
            (f"liuhaotian/llava-v1.5-{size}", llm + projector),
        ):
            assert listed[id].bytes == pytest.approx(2 * weights, rel=1e-3) and not listed[id].is_exact


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (
            ["a/b", "xyz", "*.bin", "1", "MIT", ""],
            "expected a whole number of bytes, ~ before a rounded one, and a comm",
        ),
        (["a/b", "", "*.bin", "much", "MIT", ""], "expected a whole number of bytes"),
        (["a/b", "", "*.bin"], "expected 6 fields, and each id once"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_in_one_line(row: list[str], complaint: str, tmp_path: Path) -> None:
    table = tmp_path / "checkpoints.tsv"
    table.write_text("# a remark\n" + "\t".join(FIELDS) + "\n" + "\t".join(row) + "\n")
    with pytest.raises(UserError, match=f"checkpoints.tsv, 'a/b': {complaint}"):
        read_checkpoints(table)
    table.write_text("id\trevision\n")
    with pytest.raises(
        UserError, match=r"checkpoints\.tsv: columns \['id', 'revision'\]; expected id, revision, files"
    ):
        read_checkpoints.__wrapped__(table)
