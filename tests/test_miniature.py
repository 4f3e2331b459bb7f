"""What the miniature makes is known by its own records."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharegpt4v.config.loading import load
from sharegpt4v.errors import UserError
from sharegpt4v.files import write_json
from sharegpt4v.miniature import NOTICE, begins_with_notice, notice_of, of_miniature, record_of
from sharegpt4v.project import of_project


def test_only_a_config_with_drawn_images_has_the_notice() -> None:
    drawn, real = (load(of_project(Path("config") / name)) for name in ("smoke.yaml", "paper-7b.yaml"))
    assert notice_of(drawn) == NOTICE and notice_of(real) == ""
    assert begins_with_notice(drawn, "| table |") == f"{NOTICE}\n\n| table |"
    assert begins_with_notice(real, "| table |") == "| table |"


def test_a_checkpoint_says_whether_it_is_of_the_miniature(tmp_path: Path) -> None:
    made, imported, foreign = (tmp_path / name for name in ("made", "imported", "foreign"))
    write_json(made / "provenance.json", {"stage": "captioner"} | record_of(True, []))
    write_json(imported / "provenance.json", {"stage": "import"} | record_of(False, []))
    foreign.mkdir()
    assert [of_miniature(folder) for folder in (made, imported, foreign)] == [True, False, False]
    assert record_of(False, [imported, made]) and not record_of(False, [imported, foreign])
    (made / "provenance.json").write_text("{")
    with pytest.raises(UserError, match=r"provenance\.json, line 1.*not JSON"):
        of_miniature(made)
